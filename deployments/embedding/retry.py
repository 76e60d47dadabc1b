"""The retry delay of a failed embedding. Pure: the caller passes the random number."""


def retry_delay(attempts: int, base: float, most: float, chance: float, retry_after: float | None = None) -> float:
    """Return the seconds until the next attempt after `attempts` failed ones: exponential backoff with jitter.

    The delay doubles from `base` up to `most`. `chance` (0..1) takes away up to half of it, so that messages that
    failed together are not retried together. The provider's `retry_after` applies if it is longer.
    """
    delay = min(most, base * 2.0 ** min(attempts - 1, 30))
    return max(delay * (1 - chance / 2), retry_after or 0.0)
