"""Tenant affinity: routes a tenant to one Search replica, so that only one replica holds its index in memory.

Correctness never depends on it: every replica can serve every tenant, from an index that is brought up to date for
each search.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from hashlib import blake2b
from typing import Generic

from deployments.errors import MemoryLayerError
from deployments.runtime.capacity import Batches
from deployments.runtime.micro_batcher import Item, MicroBatcher, Result

Send = Callable[[Sequence[Item]], Awaitable[Sequence[Result | MemoryLayerError]]]

# The name for any replica that the router chooses.
ANY = ""


def ranked(tenant_id: str, replicas: Collection[str]) -> list[str]:
    """Return the replicas in a tenant's order of preference.

    Rendezvous hashing (Thaler and Ravishankar, 1998): a replica's weight is the hash of its name and the tenant id.
    Removing a replica moves only its own tenants, and a new one takes an equal share from every other.
    """
    return sorted(replicas, key=lambda replica: _weight(tenant_id, replica), reverse=True)


def _weight(tenant_id: str, replica: str) -> bytes:
    return blake2b(f"{replica}\0{tenant_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


class RunningReplicas:
    """The names of the running Search replicas, as the router of this process knows them.

    Class state: Serve pickles a router by value, so state shared with Ingress must be reachable by import.
    """

    _names: tuple[str, ...] = ()

    @classmethod
    def note(cls, names: Collection[str]) -> None:
        """Set the names. A router may call this from its own thread."""
        cls._names = tuple(sorted(names))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names, empty until the router receives the first list."""
        return cls._names


class TenantBatcher(Generic[Item, Result]):
    """Sends items in batches to the preferred replica of their tenant, with one `MicroBatcher` for each replica.

    When a tenant's replica has a whole batch more in its queue than the least busy one, the next replica in the
    tenant's rank takes the item. So a very busy tenant or a slow replica costs extra index loads instead of waiting
    time. Tenants take turns.
    """

    def __init__(
        self,
        send_to: Callable[[str], Send[Item, Result]],
        running: Callable[[], Sequence[str]],
        tenant_id: Callable[[Item], str],
        batches: Batches,
        size_of: Callable[[Item], int] | None = None,
    ) -> None:
        """`send_to` returns the call to a named replica. `batches`: limits for each replica. `size_of`: in bytes."""
        self._send_to = send_to
        self._running = running
        self._tenant_id = tenant_id
        self._batches = batches
        self._size_of = size_of
        self._batchers: dict[str, MicroBatcher[Item, Result]] = {}

    def waiting(self) -> int:
        """Return the number of unsent items over all replicas."""
        return sum(each.waiting() for each in self._batchers.values())

    async def submit(self, item: Item) -> Result:
        """Send an item in a batch with others for its replica. Raises the item's error, or `OverloadedError`."""
        running = self._running() or (ANY,)
        replica = running[0] if len(running) == 1 else self._chosen(self._tenant_id(item), running)
        return await self._batcher(replica, running).submit(item)

    def _chosen(self, tenant_id: str, running: Sequence[str]) -> str:
        waiting = {replica: self._waiting_for(replica) for replica in running}
        most = min(waiting.values()) + self._batches.size
        return next(replica for replica in ranked(tenant_id, running) if waiting[replica] <= most)

    def _waiting_for(self, replica: str) -> int:
        batcher = self._batchers.get(replica)
        return 0 if batcher is None else batcher.waiting()

    def _batcher(self, replica: str, running: Sequence[str]) -> MicroBatcher[Item, Result]:
        batcher = self._batchers.get(replica)
        if batcher is None:
            # Items queued for a removed replica are still sent: the router finds another one.
            self._batchers = {name: each for name, each in self._batchers.items() if name in running or not each.idle()}
            batcher = self._batchers[replica] = MicroBatcher(
                self._send_to(replica),
                max_batch=self._batches.size,
                slots=self._batches.slots,
                max_waiting=self._batches.waiting,
                size_of=self._size_of,
                owner_of=self._tenant_id,
            )
        return batcher
