"""Leases: never more than the limit, whoever asks, and few calls."""

import asyncio
from dataclasses import dataclass, field
from itertools import cycle
from random import Random

import pytest
from limits import parse

from deployments.errors import OverloadedError
from deployments.rate_limits.counter import Grant, Take, WindowCounter
from deployments.rate_limits.leases import Counted, Leases, share_of
from deployments.rate_limits.memory_storage import BoundedMemoryStorage

HOUR = 3600.0


@dataclass
class SharedCount:
    """The count of several replicas, and the calls that they made."""

    now: float = 1000.0
    takes: list[Take] = field(default_factory=list)
    slow: bool = False
    uneven: bool = False
    error: Exception | None = None

    def __post_init__(self) -> None:
        self._delays = Random(3)
        self._counter = WindowCounter(BoundedMemoryStorage(clock=self.clock), self.clock)

    def clock(self) -> float:
        return self.now

    async def take(self, take: Take) -> Grant:
        self.takes.append(take)
        for _ in range(self._delays.randrange(1, 8) if self.uneven else 1):
            await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        (grant,) = await self._counter.take_many([take])
        self.now += 2 * HOUR if self.slow else 0
        return grant

    def replica(self) -> Leases:
        return Leases(self.take, clock=self.clock)


def limit(text: str, key: str = "a") -> Counted:
    return Counted("tenant", parse(text), f"{key}/{text}")


async def passes(leases: Leases, *limits: Counted) -> bool:
    return all(status.passes for status in await leases.take(limits))


@pytest.mark.parametrize("most", [1, 7, 200, 1000])
@pytest.mark.parametrize("replicas", [1, 3])
async def test_exactly_as_many_pass_as_the_limit_allows(most: int, replicas: int) -> None:
    shared = SharedCount()
    each = [shared.replica() for _ in range(replicas)]

    passed = [await passes(leases, limit(f"{most}/hour")) for leases, _ in zip(cycle(each), range(2 * most + 60))]

    assert sum(passed) == most
    assert len(shared.takes) < max(most / 2, 16 + 4 * replicas)


async def test_many_at_once_get_no_more_and_no_less() -> None:
    shared = SharedCount()
    each = [shared.replica() for _ in range(3)]

    passed = await asyncio.gather(*(passes(each[number % 3], limit("500/hour")) for number in range(900)))

    assert sum(passed) == 500


@pytest.mark.parametrize("replicas", [1, 3])
async def test_whoever_comes_while_others_wait_nothing_is_lost(replicas: int) -> None:
    shared = SharedCount(uneven=True)
    each = [shared.replica() for _ in range(replicas)]
    order = Random(4)

    async def caller(number: int) -> int:
        passed = 0
        for _ in range(100):
            for _ in range(order.randrange(5)):
                await asyncio.sleep(0)
            wide, own = limit("10000/day"), limit("10000/hour", f"caller {number}")
            passed += await passes(each[order.randrange(replicas)], limit("500/hour"), wide, own)
        return passed

    assert sum(await asyncio.gather(*map(caller, range(20)))) == 500


async def test_who_waits_for_the_same_limit_asks_once() -> None:
    shared = SharedCount()
    leases = shared.replica()

    assert all(await asyncio.gather(*(passes(leases, limit("500/hour")) for _ in range(100))))

    assert [(take.needed, take.wanted) for take in shared.takes] == [(100, 100)]


async def test_beyond_the_limit_nobody_is_asked() -> None:
    shared = SharedCount()
    leases = shared.replica()
    assert await passes(leases, limit("1/hour"))
    asked = len(shared.takes)

    assert not any([await passes(leases, limit("1/hour")) for _ in range(100)])

    assert len(shared.takes) == asked


async def test_a_request_that_one_limit_refuses_takes_nothing_from_the_others() -> None:
    leases = SharedCount().replica()
    wide, narrow = limit("10/hour"), limit("1/minute")
    assert await passes(leases, wide, narrow)

    assert not any([await passes(leases, wide, narrow) for _ in range(50)])

    assert [await passes(leases, wide) for _ in range(10)] == [True] * 9 + [False]


async def test_a_window_that_ends_takes_its_leases_with_it() -> None:
    shared = SharedCount()
    leases = shared.replica()
    for _ in range(3):
        assert sum([await passes(leases, limit("50/hour")) for _ in range(60)]) == 50
        shared.now += HOUR


async def test_what_arrives_after_its_window_serves_those_who_wait_for_it() -> None:
    shared = SharedCount(slow=True)

    assert await passes(shared.replica(), limit("5/second"))


async def test_an_error_reaches_all_who_wait_and_is_gone_the_next_time() -> None:
    shared = SharedCount(error=OverloadedError("Too many."))
    leases = shared.replica()
    found = await asyncio.gather(*(passes(leases, limit("5/hour")) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [OverloadedError] * 3

    shared.error = None
    assert await passes(leases, limit("5/hour"))


async def test_a_caller_that_goes_away_takes_nothing_from_those_who_wait_with_it() -> None:
    shared = SharedCount()
    leases = shared.replica()
    calls = [asyncio.create_task(passes(leases, limit("50/hour"))) for _ in range(3)]
    await asyncio.sleep(0)
    calls[0].cancel()

    assert await calls[1]
    assert await calls[2]
    assert calls[0].cancelled()


async def test_it_says_what_is_left_and_when_the_window_ends() -> None:
    shared = SharedCount()
    leases = shared.replica()
    (first,) = await leases.take([limit("200/hour")])
    shared.now += 60
    (second,) = await leases.take([limit("200/hour")])

    assert (first.remaining, first.resets_in) == (199, HOUR)
    assert (second.remaining, second.resets_in) == (198, HOUR - 60)


async def test_what_was_seen_once_is_not_kept() -> None:
    shared = SharedCount()
    leases = Leases(shared.take, most=100, clock=shared.clock)
    for number in range(500):
        await passes(leases, limit("5/hour", f"address {number}"))
    assert len(leases._leases) == 100
    assert leases._calls == {}

    shared.now += HOUR
    assert len(leases._leases) == 0


def test_a_share_shrinks_with_what_is_left() -> None:
    assert [share_of(left) for left in (10**9, 1600, 200, 31, 15, 0)] == [100, 100, 12, 1, 1, 1]
