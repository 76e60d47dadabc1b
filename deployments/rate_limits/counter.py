"""The counter of a rate limit: how many requests of a window were granted, kept by any storage."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from limits import RateLimitItem
from limits.aio.storage import Storage


@dataclass(frozen=True)
class Take:
    """Requests that a replica asks for: `needed` by waiting requests, `wanted` in all, including some in advance.

    `key` identifies who is limited and by which limit.
    """

    rate: RateLimitItem
    key: str
    needed: int
    wanted: int


@dataclass(frozen=True)
class Grant:
    """The number of requests granted, and what the window has left for all replicas.

    `resets_in`: seconds until the window ends. `usable_for`: seconds until the grant expires.
    """

    granted: int
    remaining: int
    resets_in: float
    usable_for: float


# Return a grant for each take, in order: from this process, another, or Redis. Raise `UnavailableError` if it is down.
TakeMany = Callable[[Sequence[Take]], Awaitable[list[Grant]]]


class WindowCounter:
    """Counts in fixed windows. A window starts with its first request."""

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.time) -> None:
        """`clock`: the clock of the storage's `get_expiry`, in seconds."""
        self._storage = storage
        self._clock = clock

    async def take_many(self, takes: Sequence[Take]) -> list[Grant]:
        """Return a grant for each take, in order: what is left if that is less than what is wanted."""
        return list(await asyncio.gather(*map(self._take, takes)))

    async def _take(self, take: Take) -> Grant:
        # One atomic increment, safe under concurrency: what is counted beyond the limit was granted to nobody.
        count = await self._storage.incr(take.key, take.rate.get_expiry(), take.wanted)
        ends = await self._storage.get_expiry(take.key)
        left_before = max(take.rate.amount - (count - take.wanted), 0)
        granted = min(take.wanted, left_before)
        resets_in = max(ends - self._clock(), 0.0)
        return Grant(granted, left_before - granted, resets_in, resets_in)
