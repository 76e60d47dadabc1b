"""The count itself: how many requests of a window were given away, by whichever storage keeps it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from limits import RateLimitItem
from limits.aio.storage import Storage


@dataclass(frozen=True)
class Take:
    """Requests that a replica asks for: what waits for them now, and all that it wants, some of it ahead of its use.

    `key` names who is limited and by what; one limit has one key.
    """

    rate: RateLimitItem
    key: str
    needed: int
    wanted: int


@dataclass(frozen=True)
class Grant:
    """What it is given, and what the window has left for all. Seconds: until the window ends, and until it is void."""

    granted: int
    remaining: int
    resets_in: float
    usable_for: float


# A grant for each take, in order: from this process, another, or Redis. Raises `UnavailableError` where it is away.
TakeMany = Callable[[Sequence[Take]], Awaitable[list[Grant]]]


class WindowCounter:
    """Counts in fixed windows, each of which begins with its first request."""

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.time) -> None:
        """`clock`: the one that the storage's `get_expiry` goes by."""
        self._storage = storage
        self._clock = clock

    async def take_many(self, takes: Sequence[Take]) -> list[Grant]:
        """A grant for each take, in order: what is left where it is less than what is wanted."""
        return list(await asyncio.gather(*map(self._take, takes)))

    async def _take(self, take: Take) -> Grant:
        # One step, whoever else takes: what is counted beyond the limit was given to nobody.
        count = await self._storage.incr(take.key, take.rate.get_expiry(), take.wanted)
        ends = await self._storage.get_expiry(take.key)
        left_before = max(take.rate.amount - (count - take.wanted), 0)
        granted = min(take.wanted, left_before)
        resets_in = max(ends - self._clock(), 0.0)
        return Grant(granted, left_before - granted, resets_in, resets_in)
