"""Times in the zone of whoever sent them: stored as an instant and an offset, and read back as they were sent."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any

MINUTE = timedelta(minutes=1)


def offset_minutes(when: datetime) -> int:
    """Return how far the time's zone is ahead of UTC, in minutes."""
    offset = when.utcoffset()
    return 0 if offset is None else offset // MINUTE


def at_offset(when: datetime, minutes: int) -> datetime:
    """Return the same instant in the zone that is so many minutes ahead of UTC."""
    return when.astimezone(_zone(minutes)) if minutes else when


def zoned(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's columns with `created_at` in the sender's zone, in place of its `utc_offset`."""
    columns = dict(row)
    columns["created_at"] = at_offset(columns["created_at"], columns.pop("utc_offset"))
    return columns


@cache
def _zone(minutes: int) -> timezone:
    return timezone(timedelta(minutes=minutes)) if minutes else UTC
