"""A shared count that goes away and comes back."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import structlog
from limits import parse

from deployments.errors import UnavailableError
from deployments.rate_limits.counter import Grant, Take, WindowCounter
from deployments.rate_limits.fallback import RETRY_SECONDS, FallbackCounter
from deployments.rate_limits.memory_storage import BoundedMemoryStorage

TAKE = Take(parse("10/hour"), "a", needed=1, wanted=5)


@dataclass
class Setup:
    """A count that can be away, a replica's own beside it, and a clock that is set by hand."""

    now: float = 0.0
    away: bool = False
    asked: int = 0
    fallbacks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._count = WindowCounter(BoundedMemoryStorage())
        own = WindowCounter(BoundedMemoryStorage())
        self.counter = FallbackCounter(self._shared, own.take_many, self.fallbacks.append, lambda: self.now)

    async def _shared(self, takes: Sequence[Take]) -> list[Grant]:
        self.asked += 1
        if self.away:
            raise UnavailableError("Away.")
        return await self._count.take_many(takes)

    async def take(self) -> Grant:
        (grant,) = await self.counter.take_many([TAKE])
        return grant


@pytest.fixture
def setup() -> Setup:
    return Setup()


async def test_while_it_is_there_it_alone_counts(setup: Setup) -> None:
    assert [(await setup.take()).granted for _ in range(3)] == [5, 5, 0]
    assert setup.fallbacks == []


async def test_while_it_is_away_the_replica_counts_to_the_same_limit(setup: Setup) -> None:
    setup.away = True

    assert [(await setup.take()).granted for _ in range(12)] == [1] * 10 + [0] * 2
    assert setup.fallbacks == [1] * 12


async def test_while_it_is_away_few_find_out_whether_it_is_back(setup: Setup) -> None:
    setup.away = True
    for _ in range(100):
        await setup.take()
    assert setup.asked == 1

    setup.now += RETRY_SECONDS
    for _ in range(100):
        await setup.take()
    assert setup.asked == 2


async def test_what_it_grants_by_itself_is_void_when_the_shared_count_is_asked_again(setup: Setup) -> None:
    setup.away = True
    await setup.take()
    setup.now += RETRY_SECONDS / 4

    assert (await setup.take()).usable_for == RETRY_SECONDS * 3 / 4


async def test_it_comes_back_by_itself_and_each_outage_is_one_warning(setup: Setup) -> None:
    with structlog.testing.capture_logs() as lines:
        for away in (False, True, True, True, False, False, True):
            setup.away = away
            await setup.take()
            setup.now += RETRY_SECONDS

    assert [line["event"] for line in lines] == [
        "rate_limits_counted_by_each_replica",
        "rate_limits_shared_again",
        "rate_limits_counted_by_each_replica",
    ]
    assert [line["log_level"] for line in lines] == ["warning", "info", "warning"]
