"""When a message whose embedding failed is tried again. Pure: chance is passed in."""


def retry_delay(attempts: int, base: float, most: float, chance: float, retry_after: float | None = None) -> float:
    """Seconds until the next attempt after `attempts` failed ones.

    Doubles from `base` up to `most`, of which `chance` (0..1) takes away up to a half, so that messages that
    failed together do not come back together. The provider's own `retry_after` is honoured where it is longer.
    """
    delay = min(most, base * 2.0 ** min(attempts - 1, 30))
    return max(delay * (1 - chance / 2), retry_after or 0.0)
