"""Times as whole microseconds since 1970, which is as fine as Postgres and Python keep them."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(when: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (when - EPOCH) // _MICROSECOND


def from_micros(microseconds: int) -> datetime:
    """Return the time in UTC that is so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=microseconds)
