"""Local counting while the shared counter is down."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from deployments.errors import UnavailableError
from deployments.rate_limits.counter import Grant, Take, TakeMany

logger = structlog.get_logger(__name__)

RETRY_SECONDS = 2.0


class FallbackCounter:
    """Uses the shared counter, or this replica's own counter with the same limits while the shared one is down.

    While it is down, one call each `RETRY_SECONDS` tries it again, one at a time. No other call waits for it.
    """

    def __init__(
        self,
        shared: TakeMany,
        own: TakeMany,
        on_fallback: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_fallback` is called with the number of takes that this replica counted locally."""
        self._shared = shared
        self._own = own
        self._on_fallback = on_fallback
        self._clock = clock
        self._away = False
        self._retry_at = 0.0

    async def take_many(self, takes: Sequence[Take]) -> list[Grant]:
        """Return a grant for each take, in order. Never raises because the shared counter is down."""
        if not self._away or self._clock() >= self._retry_at:
            self._retry_at = self._clock() + RETRY_SECONDS
            try:
                granted = await self._shared(takes)
            except UnavailableError as error:
                self._note_away(error)
            else:
                self._note_back()
                return granted
        return await self._take_own(takes)

    async def _take_own(self, takes: Sequence[Take]) -> list[Grant]:
        self._on_fallback(len(takes))
        # Grant nothing in advance, since a local call costs nothing, and for no longer than until the next retry.
        grants = await self._own([replace(take, wanted=take.needed) for take in takes])
        lasts = max(self._retry_at - self._clock(), 0.0)
        return [replace(grant, usable_for=min(grant.usable_for, lasts)) for grant in grants]

    def _note_away(self, error: UnavailableError) -> None:
        self._retry_at = self._clock() + RETRY_SECONDS
        if not self._away:
            self._away = True
            logger.warning("rate_limits_counted_by_each_replica", reason=error.message, details=error.details)

    def _note_back(self) -> None:
        if self._away:
            self._away = False
            logger.info("rate_limits_shared_again")
