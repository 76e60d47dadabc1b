"""What a query says of time. Pure: the clock is passed in. English only; other languages are found by their words.

Dates with a month or a year need nothing here: they are among the words by which messages are indexed.
"""

import re
from datetime import datetime, timedelta
from typing import NamedTuple

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "couple of": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip
# On average, so that 10 years ago is not two days off, nor 100 months ago six weeks.
_DAYS_OF = {"day": 1.0, "week": 7.0, "month": 365.2425 / 12, "year": 365.2425}

# For casefolded texts: IGNORECASE would find "f\u0131ve" as well, which no table of numbers holds.
_AGO = re.compile(rf"(?<!\d[.,])\b(\d{{1,3}}|{'|'.join(_NUMBERS)}) (day|week|month|year)s? ago\b")
_PAST = re.compile(
    rf"\b(?:in|over|during|within) the (?:last|past) (?:(\d{{1,3}}|{'|'.join(_NUMBERS)}) )?(day|week|month|year)s?\b"
)
_NAMED = re.compile(rf"\b(today|yesterday|(?:this|last|past) (?:week|weekend|month|year|{'|'.join(_DAYS)}))\b")
_ASKS_WHEN = re.compile(
    r"\b(?:when|how long|how (?:many|much) (?:days?|weeks?|months?|years?|time)"
    r"|(?:what|which) (?:date|day|month|year))\b"
)
_TELLS_WHEN = re.compile(
    rf"\b(?:yesterday|today|tonight|tomorrow|ago|last|next|since|weekend|(?:day|week|month|year)s?|{'|'.join(_DAYS)}"
    rf"|{'|'.join(_MONTHS)}|\d{{4}}|\d{{1,2}}(?:st|nd|rd|th))\b"
)


class Span(NamedTuple):
    """A stretch of time, its end exclusive."""

    start: datetime
    end: datetime


def span_asked_for(query: str, now: datetime) -> Span | None:
    """The stretch of the past that a query names relative to now ("last week", "3 days ago"), or None.

    None, too, where it is still to come, and where it would begin before the year 1 or end after 9999.
    """
    try:
        span = _span(query.casefold(), now)
    except OverflowError:
        return None
    return span if span and span.start < span.end else None


def asks_when(query: str) -> bool:
    """Whether the answer would be a time."""
    return bool(_ASKS_WHEN.search(query.casefold()))


def tells_when(content: str) -> bool:
    """Whether a message says when something was or will be."""
    return bool(_TELLS_WHEN.search(content.casefold()))


def _span(query: str, now: datetime) -> Span | None:
    """People are not exact about the past: half a unit is added on both sides of what is so many units ago."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if found := _AGO.search(query):
        middle = today - _days(found[1], found[2])
        room = timedelta(days=_DAYS_OF[found[2]] / 2)
        return Span(middle - room, middle + room + timedelta(days=1))
    if found := _PAST.search(query):
        return Span(today - _days(found[1] or "1", found[2]), now)
    if found := _NAMED.search(query):
        return _named(found[1], today)
    return None


def _days(number: str, unit: str) -> timedelta:
    """So many units, in whole days."""
    return timedelta(days=round(_number(number) * _DAYS_OF[unit]))


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else _NUMBERS[text]


def _named(name: str, today: datetime) -> Span:
    day = timedelta(days=1)
    if name in {"today", "yesterday"}:
        start = today if name == "today" else today - day
        return Span(start, start + day)
    which, unit = name.split()
    if unit in _DAYS:
        start = today - day * ((today.weekday() - _DAYS.index(unit) - 1) % 7 + 1)
        return Span(start, start + day)
    return _this(unit, today) if which == "this" else _last(unit, today)


def _this(unit: str, today: datetime) -> Span:
    day = timedelta(days=1)
    monday = today - day * today.weekday()
    starts = {"week": monday, "weekend": monday + 5 * day, "month": today.replace(day=1)}
    return Span(starts.get(unit, today.replace(month=1, day=1)), today + day)


def _last(unit: str, today: datetime) -> Span:
    day = timedelta(days=1)
    if unit == "weekend":
        monday = today - day * today.weekday()
        return Span(monday - 2 * day, monday)
    this = _this(unit, today).start
    return Span(_this(unit, this - day).start, this)
