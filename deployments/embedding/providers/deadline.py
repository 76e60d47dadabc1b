"""Deadline and number of attempts of a provider's requests."""

from collections.abc import Callable

ATTEMPTS = 4
"""The number of times that a request is sent before its batch fails. After that, the worker retries for much longer."""

_BUDGET_FACTOR = 1.5

OnRetry = Callable[[], None]
"""Called for each retried request."""


def unheard() -> None:
    """Ignore a retry. The default for callers that do not count retries."""


def budget_seconds(timeout_seconds: float) -> float:
    """Return how many seconds one request may take, including all attempts and waits.

    Longer than one timeout, so that a request that hung can be retried. With the default timeout (30 s) still short
    enough for a batch that is split over several requests to end in minutes. The worker extends its claim meanwhile,
    so that no other worker claims the batch.
    """
    return timeout_seconds * _BUDGET_FACTOR
