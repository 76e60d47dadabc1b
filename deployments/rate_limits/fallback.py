"""What counts while the shared count is away."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from deployments.errors import UnavailableError
from deployments.rate_limits.counter import Grant, Take, TakeMany

logger = structlog.get_logger(__name__)

RETRY_SECONDS = 2.0


class FallbackCounter:
    """The shared count; while it is away, this replica's own, to the same limits.

    While it is away, one call at a time, and one each `RETRY_SECONDS`, finds out whether it is back: no other waits.
    """

    def __init__(
        self,
        shared: TakeMany,
        own: TakeMany,
        on_fallback: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_fallback` is told how many takes this replica counted by itself."""
        self._shared = shared
        self._own = own
        self._on_fallback = on_fallback
        self._clock = clock
        self._away = False
        self._retry_at = 0.0

    async def take_many(self, takes: Sequence[Take]) -> list[Grant]:
        """A grant for each take, in order; never an error because the shared count is away."""
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
        # Nothing ahead, since asking again costs nothing; and nothing longer than until the shared count is asked.
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
