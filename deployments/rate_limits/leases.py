"""What a replica has taken of each limit ahead of its use, so that most requests ask nobody."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import NamedTuple

from cachetools import TLRUCache
from limits import RateLimitItem
from opentelemetry.trace import SpanKind

from deployments.rate_limits.counter import Grant, Take
from deployments.tracing.spans import span

# Of what a window has left, a replica takes this part at once: the less is left, the less lies idle in a replica.
SHARE = 16
MOST_AHEAD = 100
MOST_LEASES = 50_000
# What arrives late, in a window of a second, is still of use to those who wait for it.
USABLE_AT_LEAST_SECONDS = 0.1


class Counted(NamedTuple):
    """A limit that a request counts against. `kind`: what is limited; `key`: who, and to what."""

    kind: str
    rate: RateLimitItem
    key: str


class LimitStatus(NamedTuple):
    """How a limit stands with a request: whether it has one left for it, how many then, and seconds until it resets."""

    counted: Counted
    passes: bool
    remaining: int
    resets_in: float


@dataclass
class _Lease:
    held: int
    remaining: int
    usable_until: float
    resets_at: float

    @property
    def settles(self) -> bool:
        """Whether it tells without asking: there is one left here, or none anywhere."""
        return self.held > 0 or self.remaining == 0


@dataclass
class _Flight:
    task: asyncio.Task[None]
    waiting: int = 0


class Leases:
    """Takes requests from limits, by way of what this replica holds of them.

    No more than a limit allows ever passes, since a lease is taken off the count before it is used and ends with its
    window. What other replicas hold unused may be refused here: at most their shares, which shrink towards the end.
    """

    def __init__(
        self,
        take: Callable[[Take], Awaitable[Grant]],
        most: int = MOST_LEASES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._take = take
        self._clock = clock
        self._leases: TLRUCache[str, _Lease] = TLRUCache(most, ttu=lambda _, lease, __: lease.usable_until, timer=clock)
        self._flights: dict[str, _Flight] = {}

    async def take(self, limits: Sequence[Counted]) -> list[LimitStatus]:
        """Take one request from each of the limits, or, where one of them has none left, from none."""
        while True:
            leases = [self._leases.get(limit.key) for limit in limits]
            known = [lease for lease in leases if lease is not None and lease.settles]
            if len(known) == len(limits) or any(not lease.held for lease in known):
                return self._settle(limits, leases)
            asked = [limit for limit, lease in zip(limits, leases, strict=True) if lease is None or not lease.settles]
            await asyncio.gather(*map(self._refill, asked))

    def _settle(self, limits: Sequence[Counted], leases: Sequence[_Lease | None]) -> list[LimitStatus]:
        known = [
            (limit, lease) for limit, lease in zip(limits, leases, strict=True) if lease is not None and lease.settles
        ]
        passes = all(lease.held for _, lease in known)
        now = self._clock()
        statuses = []
        for limit, lease in known:
            granted = lease.held > 0
            lease.held -= passes
            remaining = lease.held + lease.remaining
            statuses.append(LimitStatus(limit, granted, remaining, max(lease.resets_at - now, 0.0)))
        return statuses

    async def _refill(self, limit: Counted) -> None:
        """Wait for the one call for this limit that is under way, or make it, if none has been made meanwhile."""
        lease, flight = self._leases.get(limit.key), self._flights.get(limit.key)
        if lease is not None and lease.settles:
            return
        if flight is None:
            # In a context of its own: it is not of whoever happened to start it.
            flight = _Flight(asyncio.create_task(self._fly(limit), context=Context()))
            self._flights[limit.key] = flight
        flight.waiting += 1
        with span("take_rate_limit", SpanKind.CLIENT):
            await asyncio.shield(flight.task)

    async def _fly(self, limit: Counted) -> None:
        try:
            last = self._leases.get(limit.key)
            needed = self._flights[limit.key].waiting
            ahead = share_of(limit.rate.amount if last is None else last.remaining)
            started = self._clock()
            grant = await self._take(Take(limit.rate, limit.key, needed, max(needed, ahead)))
            now = self._clock()
            # From before the call: a lease may end early, and never outlives its window but for those who wait.
            usable_until = max(started + grant.usable_for, now + USABLE_AT_LEAST_SECONDS)
            resets_at = now + grant.resets_in
            self._leases[limit.key] = _Lease(grant.granted, grant.remaining, usable_until, resets_at)
        finally:
            del self._flights[limit.key]


def share_of(remaining: int) -> int:
    """How many requests a replica takes at once where so many are left."""
    return min(max(remaining // SHARE, 1), MOST_AHEAD)
