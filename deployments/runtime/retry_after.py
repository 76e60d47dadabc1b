"""Parsing of the header Retry-After that other services send."""

import math
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, which may be a date. None if it is missing, past or invalid."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value)
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _seconds_until(date: str) -> float:
    parsed = parsedate_tz(date)
    if parsed is None:
        return math.nan
    try:
        return mktime_tz(parsed) - time.time()
    except (OverflowError, ValueError):
        return math.nan
