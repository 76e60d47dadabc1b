"""Leases: requests of a limit that a replica has taken in advance, so that most requests need no remote call."""

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

# A replica takes 1/SHARE of what a window has left at once: the less is left, the less is idle in a replica.
SHARE = 16
MOST_AHEAD = 100
MOST_LEASES = 50_000
# In a window of one second, a grant that arrives late is still usable by the requests that wait for it.
USABLE_AT_LEAST_SECONDS = 0.1


class Counted(NamedTuple):
    """A limit that a request counts against. `kind`: what is limited; `key`: who, and to what."""

    kind: str
    rate: RateLimitItem
    key: str


class LimitStatus(NamedTuple):
    """Status of a limit: whether it allows the request, how many remain, and seconds until it resets."""

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
        """Return whether no remote call is needed: one request is left in this lease, or none in the window."""
        return self.held > 0 or self.remaining == 0


@dataclass
class _Call:
    task: asyncio.Task[None]
    waiting: int = 0


class Leases:
    """Takes requests from limits, out of the leases of this replica.

    A limit is never exceeded: a lease is counted before it is used, and expires with its window. A request may be
    refused while other replicas hold unused leases: at most their shares, which shrink towards the end of the window.
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
        self._calls: dict[str, _Call] = {}

    async def take(self, limits: Sequence[Counted]) -> list[LimitStatus]:
        """Take one request from each limit, or from none if one has none left. Return the statuses, in order."""
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
        """Renew the lease of a limit, unless that was done meanwhile. Concurrent callers share one call."""
        lease, call = self._leases.get(limit.key), self._calls.get(limit.key)
        if lease is not None and lease.settles:
            return
        if call is None:
            # In a new context: the call must not belong to the request that started it.
            call = _Call(asyncio.create_task(self._fetch(limit), context=Context()))
            self._calls[limit.key] = call
        call.waiting += 1
        with span("take_rate_limit", SpanKind.CLIENT):
            await asyncio.shield(call.task)

    async def _fetch(self, limit: Counted) -> None:
        try:
            last = self._leases.get(limit.key)
            needed = self._calls[limit.key].waiting
            ahead = share_of(limit.rate.amount if last is None else last.remaining)
            started = self._clock()
            grant = await self._take(Take(limit.rate, limit.key, needed, max(needed, ahead)))
            now = self._clock()
            # Measured from before the call: a lease may expire early. It outlives its window only for current waiters.
            usable_until = max(started + grant.usable_for, now + USABLE_AT_LEAST_SECONDS)
            resets_at = now + grant.resets_in
            self._leases[limit.key] = _Lease(grant.granted, grant.remaining, usable_until, resets_at)
        finally:
            del self._calls[limit.key]


def share_of(remaining: int) -> int:
    """Return how many requests a replica takes at once when `remaining` are left."""
    return min(max(remaining // SHARE, 1), MOST_AHEAD)
