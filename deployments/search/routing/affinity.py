"""The Search replica that a tenant stays with, so that its index is in the memory of one replica only.

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

# The name that means: whichever replica the router finds.
ANY = ""


def ranked(tenant_id: str, replicas: Collection[str]) -> list[str]:
    """Return the replicas in the order in which a tenant prefers them.

    Rendezvous hashing (Thaler and Ravishankar, 1998): each replica weighs the hash of its name and the tenant's. A
    replica that is gone moves its own tenants only, and one that is new takes an equal share from every other.
    """
    return sorted(replicas, key=lambda replica: _weight(tenant_id, replica), reverse=True)


def _weight(tenant_id: str, replica: str) -> bytes:
    return blake2b(f"{replica}\0{tenant_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


class RunningReplicas:
    """The names of the Search replicas that run, as the router of this process knows them.

    On the class: Serve pickles a router by value, so what the router and Ingress share must be found by import.
    """

    _names: tuple[str, ...] = ()

    @classmethod
    def note(cls, names: Collection[str]) -> None:
        """Set the names. May be called from the thread of a router."""
        cls._names = tuple(sorted(names))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names, none before the router has been told of any."""
        return cls._names


class TenantBatcher(Generic[Item, Result]):
    """Sends items in batches, each to the replica that its tenants stay with: a `MicroBatcher` for each replica.

    With one replica it is one `MicroBatcher`. When a whole batch more waits for a tenant's replica than for the least
    busy one, the next replica in the tenant's rank takes the item. So a tenant that is asked for more than one replica
    can serve, or a replica that answers slowly, costs loads of indexes, and not waiting time.
    """

    def __init__(
        self,
        send_to: Callable[[str], Send[Item, Result]],
        running: Callable[[], Sequence[str]],
        tenant_id: Callable[[Item], str],
        batches: Batches,
        size_of: Callable[[Item], int] | None = None,
    ) -> None:
        """`send_to`: the call to a replica by its name. `batches`: for each replica. `size_of`: in bytes."""
        self._send_to = send_to
        self._running = running
        self._tenant_id = tenant_id
        self._batches = batches
        self._size_of = size_of
        self._lanes: dict[str, MicroBatcher[Item, Result]] = {}

    def waiting(self) -> int:
        """Return how many items are not sent yet, over all replicas."""
        return sum(lane.waiting() for lane in self._lanes.values())

    async def submit(self, item: Item) -> Result:
        """Send an item with whatever else waits for its replica. Raises its error, or `OverloadedError`."""
        running = self._running() or (ANY,)
        replica = running[0] if len(running) == 1 else self._chosen(self._tenant_id(item), running)
        return await self._lane(replica, running).submit(item)

    def _chosen(self, tenant_id: str, running: Sequence[str]) -> str:
        waiting = {replica: self._waiting_for(replica) for replica in running}
        most = min(waiting.values()) + self._batches.size
        return next(replica for replica in ranked(tenant_id, running) if waiting[replica] <= most)

    def _waiting_for(self, replica: str) -> int:
        lane = self._lanes.get(replica)
        return 0 if lane is None else lane.waiting()

    def _lane(self, replica: str, running: Sequence[str]) -> MicroBatcher[Item, Result]:
        lane = self._lanes.get(replica)
        if lane is None:
            # What still waits for a replica that is gone is sent all the same: the router finds another.
            self._lanes = {name: lane for name, lane in self._lanes.items() if name in running or not lane.idle()}
            lane = self._lanes[replica] = MicroBatcher(
                self._send_to(replica),
                max_batch=self._batches.size,
                slots=self._batches.slots,
                max_waiting=self._batches.waiting,
                size_of=self._size_of,
            )
        return lane
