"""Time spans relative to midnight of the asker's day. Pure: the clock is passed in."""

from datetime import MAXYEAR, datetime, timedelta
from typing import NamedTuple

DAY = timedelta(days=1)
# Mean lengths of the Gregorian calendar, so that 10 years ago is not two days off, nor 100 months ago six weeks.
DAYS_OF = {"day": 1.0, "week": 7.0, "month": 365.2425 / 12, "year": 365.2425}
# Around 1900 and 2100, 29 February is missing for eight years.
_YEARS_WITHOUT_A_LEAP_DAY = 8


class Span(NamedTuple):
    """A time span, end exclusive."""

    start: datetime
    end: datetime


def midnight(now: datetime) -> datetime:
    """Return the start of the day of `now`, in its zone."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def ago(count: int, unit: str, today: datetime) -> Span:
    """Return the day `count` units ago plus half a unit on both sides, because people remember times inexactly."""
    middle = today - whole_days(count, unit)
    room = timedelta(days=DAYS_OF[unit] / 2)
    return Span(middle - room, middle + room + DAY)


def whole_days(count: int, unit: str) -> timedelta:
    """Return `count` units as whole days, rounded."""
    return timedelta(days=round(count * DAYS_OF[unit]))


def days_ago(count: int, today: datetime) -> Span:
    """Return the whole day that many days before today."""
    start = today - count * DAY
    return Span(start, start + DAY)


def this(unit: str, today: datetime) -> Span:
    """Return the current week, weekend, month or year up to the end of today.

    Before the weekend, its start is after its end.
    """
    if unit == "day":
        return days_ago(0, today)
    monday = today - DAY * today.weekday()
    starts = {"week": monday, "weekend": monday + 5 * DAY, "month": today.replace(day=1)}
    return Span(starts.get(unit, today.replace(month=1, day=1)), today + DAY)


def last(unit: str, today: datetime) -> Span:
    """Return the calendar day, week, weekend, month or year before the current one."""
    if unit == "day":
        return days_ago(1, today)
    if unit == "weekend":
        monday = today - DAY * today.weekday()
        return Span(monday - 2 * DAY, monday)
    current = this(unit, today).start
    return Span(this(unit, current - DAY).start, current)


def last_weekday(weekday: int, today: datetime) -> Span:
    """Return the most recent such weekday before today, Monday being 0."""
    return days_ago((today.weekday() - weekday - 1) % 7 + 1, today)


def weekday_of_last_week(weekday: int, today: datetime) -> Span:
    """Return a day of the calendar week before the current one, Monday being 0."""
    start = last("week", today).start + weekday * DAY
    return Span(start, start + DAY)


def date_span(year: int | None, month: int | None, day: int | None, today: datetime) -> Span:
    """Return the year, month or day of a date; without a year, the most recent one that has begun.

    Raise ValueError for a date that does not exist, and OverflowError beyond the year 9999.
    """
    if month is None:
        return months(today.replace(year=year or today.year, month=1, day=1), 12)
    years = [year] if year else range(today.year, max(today.year - _YEARS_WITHOUT_A_LEAP_DAY, 1) - 1, -1)
    for candidate in years:
        start = _start(candidate, month, day or 1, today)
        if start and (year or start <= today):
            return Span(start, start + DAY) if day else months(start, 1)
    raise ValueError("No such date")


def months(start: datetime, count: int) -> Span:
    """Return `count` months from `start`, the first day of a month."""
    ordinal = start.year * 12 + start.month - 1 + count
    if ordinal // 12 > MAXYEAR:
        raise OverflowError("After the year 9999")
    return Span(start, start.replace(year=ordinal // 12, month=ordinal % 12 + 1))


def up_to(span: Span, now: datetime) -> Span | None:
    """Return the span cut at the end of today, or None if it is empty or has not begun.

    Raise OverflowError on the last day of the year 9999.
    """
    tomorrow = midnight(now) + DAY
    cut = Span(span.start, min(span.end, tomorrow))
    return cut if cut.start <= now and cut.start < cut.end else None


def _start(year: int, month: int, day: int, today: datetime) -> datetime | None:
    try:
        return today.replace(year=year, month=month, day=day)
    except ValueError:
        return None
