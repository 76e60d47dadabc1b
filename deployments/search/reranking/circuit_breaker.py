"""A circuit breaker, so that searches do not wait for an unavailable reranker."""

from collections.abc import Callable
from time import monotonic

PAUSE_SECONDS = 1.0
# A Retry-After of hours must not switch reranking off for hours: a new key or quota would go unnoticed.
LONGEST_PAUSE_SECONDS = 60.0


class CircuitBreaker:
    """Admits calls until one fails, then none for a pause, then a single probe until its result is known.

    The pattern is Nygard's ("Release It!", 2007). The first failure opens it, because a search can answer in the order
    of the ranking. Not thread-safe: use it from one event loop.
    """

    def __init__(self, probe_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        """`probe_seconds`: deadline of the probe after a pause; then another probe is admitted."""
        self._probe_seconds = probe_seconds
        self._clock = clock
        self._failing = False
        self._paused_until = 0.0
        self._probed_until = 0.0

    def admits(self) -> bool:
        """Return whether a call may be sent now."""
        now = self._clock()
        if now < max(self._paused_until, self._probed_until):
            return False
        if self._failing:
            self._probed_until = now + self._probe_seconds
        return True

    def open(self, retry_after: float | None = None) -> bool:
        """Pause after a failure, for `retry_after` seconds within limits. Return whether a new pause began."""
        now = self._clock()
        began = now >= self._paused_until
        self._failing = True
        self._probed_until = 0.0
        self._paused_until = now + min(max(retry_after or 0.0, PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        return began

    def close(self) -> None:
        """Admit all calls again after an answer. Ignore an answer that arrives during a pause: its call is older."""
        if self._clock() >= self._paused_until:
            self._failing = False
            self._probed_until = 0.0
