"""Fetches answers of any size from Search replicas: small answers in batches, a large one in a call of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Generic, Protocol, TypeVar

from deployments.analysis.read_part import HEAVY_CHARACTERS
from deployments.runtime.call_bytes import CHARACTER_BYTES, MIB
from deployments.runtime.capacity import Batches
from deployments.search.routing.affinity import RunningReplicas, Send, TenantBatcher

# A pickled request without its query: metadata of up to 16,384 bytes of JSON, identifiers and the other fields.
REQUEST_BYTES_BESIDES_QUERY = 48_000
# The pickled tree of a `where` of 16,384 bytes of JSON. Counted only where one is present: a batch has 32 requests.
WHERE_BYTES = 64_000
# Concurrent heavy queries and large answers of one Search replica to one ingress replica: each answer may take 100 MB
# in both.
ALONE_SLOTS = 2
# For LARGE_SECONDS after an answer of more than LARGE_BYTES, the tenant's requests of that extent go alone from the
# start, so that no small answer waits for them and no search runs twice.
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
    """A search or a context request."""

    @property
    def request(self) -> _Request:
        """Return the request that the client sent."""


Item = TypeVar("Item", bound=Asked)


@dataclass(frozen=True)
class AnswerCalls(Generic[Item]):
    """The calls to a Search replica, each looked up by replica name.

    `together` sends a batch; an int in its result is the size of an answer that was left out. `alone` sends one item.
    `replicas` returns the names of the usable replicas.
    """

    together: Callable[[str], Send[Item, bytes | int]]
    alone: Callable[[str], Send[Item, bytes]]
    replicas: Callable[[], Sequence[str]] = RunningReplicas.names


class WholeAnswers(Generic[Item]):
    """Fetches answers in as few calls as their sizes allow."""

    def __init__(self, calls: AnswerCalls[Item], batches: Batches, extent: Callable[[Item], int]) -> None:
        """`extent`: an estimate from the request that grows with the answer's size. `batches`: limits per replica."""
        one_by_one = Batches(size=1, slots=ALONE_SLOTS, waiting=batches.waiting)
        self._together: TenantBatcher[Item, bytes | int] = TenantBatcher(
            calls.together, calls.replicas, _tenant_id, batches, _request_bytes
        )
        self._alone = TenantBatcher(calls.alone, calls.replicas, _tenant_id, one_by_one)
        self._extent = extent
        # By tenant id: the extent of a large answer, and the time until which it counts.
        self._large: dict[str, tuple[int, float]] = {}

    def waiting(self) -> int:
        """Return the number of unsent items over all replicas."""
        return self._together.waiting() + self._alone.waiting()

    async def submit(self, item: Item) -> bytes:
        """Return the answer to an item. Raises the item's error, or `OverloadedError`."""
        # Heavy queries have a queue of their own: the others of a batch would wait for them.
        if len(item.request.query or "") <= HEAVY_CHARACTERS and not (self._large and self._will_be_large(item)):
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
