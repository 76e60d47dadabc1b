"""How long to wait for a provider, and what it says about waiting."""

from collections.abc import Callable

ATTEMPTS = 4
"""How often one request is sent before its batch fails: the worker's own retries, which last, come after."""

_BUDGET_FACTOR = 1.5

OnRetry = Callable[[], None]
"""Is told of each request that is sent once more."""


def unheard() -> None:
    """For those who do not count retries."""


def budget_seconds(timeout_seconds: float) -> float:
    """How long one request may take with all its attempts and waits.

    Longer than one timeout, so that a request that hung can be sent again; with the default timeout
    (30 s) still short enough for a batch that is split over requests to end in minutes. The worker extends its
    claim meanwhile, so that nobody else takes the batch.
    """
    return timeout_seconds * _BUDGET_FACTOR
