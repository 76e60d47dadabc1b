"""Times in their sender's zone: stored as an instant and a UTC offset, and read back as they were sent."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any

MINUTE = timedelta(minutes=1)


def offset_minutes(when: datetime) -> int:
    """Return the UTC offset of a time, in minutes."""
    offset = when.utcoffset()
    return 0 if offset is None else offset // MINUTE


def at_offset(when: datetime, minutes: int) -> datetime:
    """Return the same instant in the zone with this UTC offset."""
    return when.astimezone(_zone(minutes)) if minutes else when


def zoned(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's columns with `created_at` in the sender's zone, in place of its `utc_offset`."""
    columns = dict(row)
    columns["created_at"] = at_offset(columns["created_at"], columns.pop("utc_offset"))
    return columns


@cache
def _zone(minutes: int) -> timezone:
    return timezone(timedelta(minutes=minutes)) if minutes else UTC
