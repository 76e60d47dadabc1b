"""Finds English relative times and seasons, and whether a text asks for a time or mentions one."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from deployments.analysis.times import spans
from deployments.analysis.times.spans import Span

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "couple of": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip
# First months of the meteorological seasons of the northern hemisphere; a winter has the year in which it begins.
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_MONTHS_OF_A_SEASON = 3
_EVENING = timedelta(hours=18)
_MORNING = timedelta(hours=6)

# "The last week of May 2023" and "the last weekend before 2 February" are relative to a date.
_NOT_OF_A_DATE = r"(?!-| (?:of|before)\b)"
# For casefolded texts: IGNORECASE would also match "f\u0131ve", which is not in the table of numbers.
_AGO = re.compile(rf"(?<!\d[.,])\b(\d{{1,3}}|{'|'.join(NUMBERS)}) (day|week|month|year)s? ago\b")
_PAST = re.compile(
    rf"\b(?:in|over|during|within) the (?:last|past) (?:(\d{{1,3}}|{'|'.join(NUMBERS)}) )?(day|week|month|year)s?\b"
    rf"{_NOT_OF_A_DATE}"
)
_BEFORE_YESTERDAY = re.compile(r"\b(?:the )?day before yesterday\b")
_NAMED = re.compile(
    rf"\b(today|yesterday|(?:this|last|past) (?:week|weekend|month|year|{'|'.join(WEEKDAYS)}))\b{_NOT_OF_A_DATE}"
)
_LAST_NIGHT = re.compile(r"(?<!the )\blast night\b")
_THIS_MORNING = re.compile(r"\bthis (?:morning|afternoon|evening)\b")
_SEASON = re.compile(rf"(?<!the )\b(this|last|past) ({'|'.join(_SEASONS)})\b")
_SEASON_OF = re.compile(rf"\b(?:in )?(?:the )?({'|'.join(_SEASONS)})(?:,? | of )(\d{{4}})\b")
# Every pattern of this module and every English date has one of these words, or a digit.
_MAY_NAME_A_TIME = re.compile(rf"\d|\b(?:ago|today|yesterday|this|last|past|{'|'.join(MONTHS)})\b")

_ASKS_WHEN = re.compile(
    r"\b(?:when|how long|how (?:many|much) (?:days?|weeks?|months?|years?|time)"
    r"|(?:what|which) (?:date|day|month|year))\b"
)
_TELLS_WHEN = re.compile(
    rf"\b(?:yesterday|today|tonight|tomorrow|ago|last|next|since|weekend|(?:day|week|month|year)s?|{'|'.join(WEEKDAYS)}"
    rf"|{'|'.join(MONTHS)}|\d{{4}}|\d{{1,2}}(?:st|nd|rd|th))\b"
)


def asks_when(query: str) -> bool:
    """Return whether a query asks for a time."""
    return bool(_ASKS_WHEN.search(query.casefold()))


def tells_when(content: str) -> bool:
    """Return whether a message mentions a time."""
    return bool(_TELLS_WHEN.search(content.casefold()))


def may_name_a_time(folded: str) -> bool:
    """Return whether a casefolded text may contain a time. False is certain."""
    return bool(_MAY_NAME_A_TIME.search(folded))


class _Rule(NamedTuple):
    """A pattern, and the function that resolves its match to a span."""

    pattern: re.Pattern[str]
    resolve: Callable[[re.Match[str], datetime], Span]


def relative_time(folded: str, now: datetime) -> tuple[Span, tuple[int, int]] | None:
    """Return the first relative time of a casefolded text, in the order of the rules, and its character range.

    Raise OverflowError and ValueError for times outside of the years 1 to 9999.
    """
    for rule in _RELATIVE:
        if found := rule.pattern.search(folded):
            return rule.resolve(found, now), found.span()
    return None


def season(folded: str, now: datetime) -> tuple[Span, tuple[int, int]] | None:
    """Return the first season with a year ("spring 2024") of a casefolded text, and its character range."""
    if not (found := _SEASON_OF.search(folded)):
        return None
    first = spans.midnight(now).replace(year=int(found[2]), month=_SEASONS[found[1]], day=1)
    return spans.months(first, _MONTHS_OF_A_SEASON), found.span()


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else NUMBERS[text]


def _ago(found: re.Match[str], now: datetime) -> Span:
    return spans.ago(_number(found[1]), found[2], spans.midnight(now))


def _past(found: re.Match[str], now: datetime) -> Span:
    return Span(spans.midnight(now) - spans.whole_days(_number(found[1] or "1"), found[2]), now)


def _named(found: re.Match[str], now: datetime) -> Span:
    today = spans.midnight(now)
    if found[1] in {"today", "yesterday"}:
        return spans.days_ago(int(found[1] == "yesterday"), today)
    which, unit = found[1].split()
    if unit in WEEKDAYS:
        return spans.last_weekday(WEEKDAYS.index(unit), today)
    return spans.this(unit, today) if which == "this" else spans.last(unit, today)


def _last_night(_: re.Match[str], now: datetime) -> Span:
    today = spans.midnight(now)
    return Span(today - spans.DAY + _EVENING, today + _MORNING)


def _season_named(found: re.Match[str], now: datetime) -> Span:
    """Return the season of this year ("this"), or the most recent one that has ended ("last", "past")."""
    today = spans.midnight(now)
    first = today.replace(month=_SEASONS[found[2]], day=1)
    year = today.year - (first.month + _MONTHS_OF_A_SEASON - 13 >= today.month)
    span = spans.months(first.replace(year=year), _MONTHS_OF_A_SEASON)
    if found[1] == "this" or span.end <= now:
        return span
    return spans.months(first.replace(year=year - 1), _MONTHS_OF_A_SEASON)


_RELATIVE = (
    _Rule(_AGO, _ago),
    _Rule(_PAST, _past),
    _Rule(_BEFORE_YESTERDAY, lambda _, now: spans.days_ago(2, spans.midnight(now))),
    _Rule(_NAMED, _named),
    _Rule(_LAST_NIGHT, _last_night),
    _Rule(_THIS_MORNING, lambda _, now: spans.days_ago(0, spans.midnight(now))),
    _Rule(_SEASON, _season_named),
)
