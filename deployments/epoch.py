"""Conversion of times to whole microseconds since 1970, the precision of Postgres and Python."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(when: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (when - EPOCH) // _MICROSECOND


def from_micros(microseconds: int) -> datetime:
    """Return the UTC time of a number of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=microseconds)
