"""The count: in this process, and in Redis."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from limits import parse

from deployments.errors import UnavailableError
from deployments.rate_limits.counter import Grant, Take, TakeMany, WindowCounter
from deployments.rate_limits.memory_storage import BoundedMemoryStorage
from deployments.rate_limits.redis_counter import RedisCounter
from tests.redis_server import RedisServer, running_redis

HUNDRED = parse("100/hour")


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def take_many(request: pytest.FixtureRequest) -> AsyncIterator[TakeMany]:
    """Each of the two."""
    if request.param == "memory":
        yield WindowCounter(BoundedMemoryStorage()).take_many
        return
    counter = RedisCounter(request.getfixturevalue("redis").url, timeout=5)
    yield counter.take_many
    await counter.close()


def wanting(count: int, key: str = "a") -> Take:
    return Take(HUNDRED, key, 1, count)


def figures(grants: list[Grant]) -> list[tuple[int, int]]:
    return [(grant.granted, grant.remaining) for grant in grants]


async def test_what_is_left_is_given_and_no_more(take_many: TakeMany) -> None:
    found = [figures(await take_many([wanting(count)]))[0] for count in (60, 30, 30, 1)]

    assert found == [(60, 40), (30, 10), (10, 0), (0, 0)]


async def test_takes_that_go_together_are_counted_one_by_one(take_many: TakeMany) -> None:
    found = figures(await take_many([wanting(60), wanting(60), wanting(5, "b"), wanting(60)]))

    assert sum(granted for granted, _ in [found[0], found[1], found[3]]) == 100
    assert found[2] == (5, 95)


async def test_a_window_ends_as_long_after_its_first_request_as_it_lasts(take_many: TakeMany) -> None:
    (first,) = await take_many([wanting(1)])
    (second,) = await take_many([wanting(1)])

    for grant in (first, second):
        assert 3590 < grant.resets_in <= 3600
        assert grant.usable_for == grant.resets_in


async def test_a_new_window_begins_when_one_has_ended() -> None:
    clock = Clock()
    counter = WindowCounter(BoundedMemoryStorage(clock=clock), clock)
    await counter.take_many([wanting(100)])

    clock.now += 3599
    assert figures(await counter.take_many([wanting(1)])) == [(0, 0)]
    clock.now += 1
    assert figures(await counter.take_many([wanting(1)])) == [(1, 99)]


async def test_what_was_seen_once_is_forgotten() -> None:
    clock = Clock()
    storage = BoundedMemoryStorage(most=1000, clock=clock)
    counter = WindowCounter(storage, clock)

    await counter.take_many([wanting(1, f"address {number}") for number in range(3000)])
    assert await storage.reset() == 1000

    await counter.take_many([wanting(1, f"address {number}") for number in range(500)])
    clock.now += 3600
    assert await storage.reset() == 0


async def test_a_redis_that_is_killed_is_away_and_comes_back(redis: RedisServer) -> None:
    counter = RedisCounter(redis.url, timeout=5)
    await counter.take_many([wanting(60)])
    redis.kill()

    with pytest.raises(UnavailableError):
        await counter.take_many([wanting(1)])
    redis.start()

    assert figures(await counter.take_many([wanting(1)])) == [(1, 99)]
    await counter.close()


async def test_nobody_listening_is_away() -> None:
    with pytest.raises(UnavailableError):
        await RedisCounter("redis://127.0.0.1:1/0", timeout=5).take_many([wanting(1)])
