"""Which replica a tenant's searches go to, and what goes together on the way."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import MemoryLayerError
from deployments.runtime.capacity import Batches
from deployments.search.routing.affinity import TenantBatcher, ranked

names = st.text(min_size=1, max_size=40)
replicas = st.lists(names, min_size=1, max_size=8, unique=True)
TENANTS = [f"tenant-{number}" for number in range(2_000)]


@given(names, replicas, st.randoms())
def test_a_rank_has_all_replicas_whatever_the_order_they_are_told_in(
    tenant: str, told: list[str], chance: object
) -> None:
    shuffled = list(told)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert ranked(tenant, shuffled) == ranked(tenant, told)
    assert sorted(ranked(tenant, told)) == sorted(told)


@given(names, replicas, names)
def test_a_replica_that_comes_or_goes_changes_nothing_among_the_others(
    tenant: str, told: list[str], other: str
) -> None:
    without = [replica for replica in told if replica != other]
    with_it = ranked(tenant, {*told, other})

    assert [replica for replica in with_it if replica != other] == ranked(tenant, without)


def test_tenants_are_spread_evenly_and_a_new_replica_takes_its_share_only() -> None:
    three, four = ["a", "b", "c"], ["a", "b", "c", "d"]
    before = {tenant: ranked(tenant, three)[0] for tenant in TENANTS}
    after = {tenant: ranked(tenant, four)[0] for tenant in TENANTS}
    moved = {after[tenant] for tenant in TENANTS if after[tenant] != before[tenant]}

    fair = len(TENANTS) / len(four)
    assert all(0.85 * fair < count < 1.15 * fair for count in Counter(after.values()).values())
    assert moved == {"d"}


class Replicas:
    """Answer with the item, and hold what they were sent until they are let go."""

    def __init__(self, *running: str) -> None:
        self.running = list(running)
        self.sent: dict[str, list[list[str]]] = defaultdict(list)
        self.held: dict[str, asyncio.Event] = {}

    def send_to(self, replica: str) -> Callable[[Sequence[str]], Awaitable[list[str | MemoryLayerError]]]:
        async def send(items: Sequence[str]) -> list[str | MemoryLayerError]:
            self.sent[replica].append(list(items))
            if replica in self.held:
                await self.held[replica].wait()
            return list(items)

        return send

    def batcher(self, size: int = 4, slots: int = 1, waiting: int = 1_000) -> TenantBatcher[str, str]:
        batches = Batches(size=size, slots=slots, waiting=waiting)
        return TenantBatcher(self.send_to, lambda: self.running, lambda item: item.split(":")[0], batches)

    def took(self, replica: str) -> list[str]:
        return [item for batch in self.sent[replica] for item in batch]


def submit_all(batches: TenantBatcher[str, str], items: Sequence[str]) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(batches.submit(item)) for item in items]


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_each_tenants_items_go_to_its_replica_together_with_those_of_others() -> None:
    there = Replicas("a", "b")
    items = [f"{tenant}:{number}" for number in range(3) for tenant in TENANTS[:50]]

    assert await asyncio.gather(*submit_all(there.batcher(size=1_000), items)) == items

    for replica in ("a", "b"):
        assert set(there.took(replica)) == {each for each in items if ranked(each.split(":")[0], "ab")[0] == replica}
        # The first alone, since a slot is free, and then all that has come meanwhile.
        assert len(there.sent[replica]) <= 2


async def test_one_replica_is_sent_what_waits_of_all_tenants() -> None:
    there = Replicas("a")

    await asyncio.gather(*submit_all(there.batcher(size=len(TENANTS), waiting=len(TENANTS)), TENANTS))

    assert [len(batch) for batch in there.sent["a"]] == [len(TENANTS)]


async def test_before_any_replica_is_known_the_router_decides() -> None:
    there = Replicas()

    assert await there.batcher().submit("tenant:1") == "tenant:1"
    assert list(there.sent) == [""]


async def test_what_one_replica_cannot_take_the_next_in_rank_takes() -> None:
    there = Replicas("a", "b", "c")
    first, second, third = ranked("tenant", there.running)
    there.held = {first: asyncio.Event()}
    batches = there.batcher(size=4, slots=1)

    tasks = []
    for number in range(20):
        tasks += submit_all(batches, [f"tenant:{number}"])
        await settle()
    there.held[first].set()
    await asyncio.gather(*tasks)

    # One is on its way, and a batch and one more wait.
    assert (len(there.took(first)), len(there.took(second)), len(there.took(third))) == (6, 14, 0)


async def test_where_all_replicas_are_busy_tenants_stay() -> None:
    there = Replicas("a", "b")
    there.held = {"a": asyncio.Event(), "b": asyncio.Event()}
    batches = there.batcher(size=4, slots=1)
    items = [f"{tenant}:{number}" for number in range(40) for tenant in ("tenant-0", "tenant-1")]
    homes = {ranked(item.split(":")[0], "ab")[0] for item in items}

    tasks = submit_all(batches, items)
    await settle()
    for held in there.held.values():
        held.set()
    await asyncio.gather(*tasks)

    assert homes == {"a", "b"}
    for item in items:
        assert item in there.took(ranked(item.split(":")[0], "ab")[0])


async def test_what_waits_for_a_replica_that_is_gone_is_answered_and_then_forgotten() -> None:
    there = Replicas("a", "b")
    there.held = {"a": asyncio.Event()}
    batches = there.batcher()
    of_a = [tenant for tenant in TENANTS if ranked(tenant, "ab")[0] == "a"][:3]
    tasks = submit_all(batches, of_a)
    await settle()

    there.running = ["b"]
    assert await batches.submit(of_a[0]) == of_a[0]
    assert there.took("b") == [of_a[0]]

    there.held["a"].set()
    assert await asyncio.gather(*tasks) == of_a
    there.running = ["b", "c"]
    await asyncio.gather(*submit_all(batches, TENANTS[:20]))
    assert set(there.sent) == {"a", "b", "c"}
    assert there.took("a") == of_a


async def test_a_tenant_with_much_that_waits_does_not_hold_others_back() -> None:
    there = Replicas("a")
    there.held = {"a": asyncio.Event()}
    batches = there.batcher(size=4, slots=1)
    tasks = submit_all(batches, ["large:first"])
    await settle()
    tasks += submit_all(batches, [*(f"large:{number}" for number in range(100)), "small:1", "other:1"])
    await settle()
    there.held["a"].set()
    await asyncio.gather(*tasks)

    assert there.sent["a"][1] == ["large:0", "small:1", "other:1", "large:1"]
