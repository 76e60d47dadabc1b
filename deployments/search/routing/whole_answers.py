"""The answers to searches and contexts, of any size. Small ones cross together, and a large one by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Generic, Protocol, TypeVar

from deployments.runtime.call_bytes import CHARACTER_BYTES, MIB
from deployments.runtime.capacity import Batches
from deployments.search.routing.affinity import RunningReplicas, Send, TenantBatcher

# Metadata of 16,384 bytes as JSON, identifiers and the rest of a request, pickled.
REQUEST_BYTES_BESIDES_QUERY = 48_000
# The tree of a `where` whose JSON takes 16,384 bytes, pickled. Counted where there is one: 32 requests cross together.
WHERE_BYTES = 64_000
# So many large answers are made at once by a Search replica for an ingress replica: each may take 100 MB in both.
ALONE_SLOTS = 2
# For so long a tenant with an answer of more than so many bytes is taken to have others: they cross by themselves from
# the start, so that no small one waits for them and nothing is searched twice.
LARGE_BYTES = MIB
LARGE_SECONDS = 60.0
LARGE_TENANTS = 10_000


class _Request(Protocol):
    @property
    def tenant_id(self) -> str: ...

    @property
    def query(self) -> str | None: ...

    @property
    def where(self) -> object: ...


class Asked(Protocol):
    """A search or a context."""

    @property
    def request(self) -> _Request:
        """Return the request that the client sent."""


Item = TypeVar("Item", bound=Asked)


@dataclass(frozen=True)
class AnswerCalls(Generic[Item]):
    """The calls to a Search replica, by its name: for several, a size being an answer that is left out; and for one.

    `replicas`: the names of those that may be asked.
    """

    together: Callable[[str], Send[Item, bytes | int]]
    alone: Callable[[str], Send[Item, bytes]]
    replicas: Callable[[], Sequence[str]] = RunningReplicas.names


class WholeAnswers(Generic[Item]):
    """Gets answers with as few calls as their sizes allow."""

    def __init__(self, calls: AnswerCalls[Item], batches: Batches, extent: Callable[[Item], int]) -> None:
        """`extent`: what an answer's size grows with, as it is asked for. `batches`: for each replica."""
        one_by_one = Batches(size=1, slots=ALONE_SLOTS, waiting=batches.waiting)
        self._together: TenantBatcher[Item, bytes | int] = TenantBatcher(
            calls.together, calls.replicas, _tenant_id, batches, _request_bytes
        )
        self._alone = TenantBatcher(calls.alone, calls.replicas, _tenant_id, one_by_one)
        self._extent = extent
        # By tenant: the extent with which an answer was large, and until when that counts.
        self._large: dict[str, tuple[int, float]] = {}

    def waiting(self) -> int:
        """Return how many items are not sent yet, over all replicas."""
        return self._together.waiting() + self._alone.waiting()

    async def submit(self, item: Item) -> bytes:
        """Return the answer to an item. Raises its error, or `OverloadedError`."""
        # Almost always there is none: that costs nothing.
        if not self._large or not self._will_be_large(item):
            answer = await self._together.submit(item)
            if isinstance(answer, bytes):
                return answer
            if answer > LARGE_BYTES:
                self._note_large(item)
        return await self._alone.submit(item)

    def _will_be_large(self, item: Item) -> bool:
        tenant_id = _tenant_id(item)
        extent, until = self._large.get(tenant_id, (0, 0.0))
        if until and until < monotonic():
            del self._large[tenant_id]
            return False
        return bool(until) and self._extent(item) >= extent

    def _note_large(self, item: Item) -> None:
        if len(self._large) >= LARGE_TENANTS:
            self._large.clear()
        self._large[_tenant_id(item)] = self._extent(item), monotonic() + LARGE_SECONDS


def _tenant_id(item: Asked) -> str:
    return item.request.tenant_id


def _request_bytes(item: Asked) -> int:
    where = 0 if item.request.where is None else WHERE_BYTES
    return len(item.request.query or "") * CHARACTER_BYTES + REQUEST_BYTES_BESIDES_QUERY + where
