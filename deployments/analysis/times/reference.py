"""Finds the time that a query names. Pure: the clock is passed in."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import regex

from deployments.analysis.times import english, spans
from deployments.analysis.times.dates import Date, Dates, DateWords, resolve
from deployments.analysis.times.folding import fold
from deployments.analysis.times.localized import localized
from deployments.analysis.times.spans import Span

# Only the beginning of a long query is searched for a time.
READ_CHARACTERS = 1_000
_WITHIN = frozenset({"in", "in early", "in late", "during", "throughout"})
_BESIDE_A_YEAR = _WITHIN | {"from", "of", "since", "after", "around", "between"}
_BESIDE_A_MONTH = _WITHIN | {"last", "this", "since", "after"}
_BESIDE_A_DAY = frozenset({"on", "since"})
# Alone, these count as months only after a preposition of time, because they are also names or verbs.
_VERBS = frozenset({"may", "march"})
_AMBIGUOUS = _VERBS | {"april", "june", "august", "jan", "mar"}
_BESIDE_A_NAME = _WITHIN | {"last", "this"}
_ABBREVIATIONS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ENGLISH_DATES = Dates(
    DateWords(
        months={
            **{name: number for number, name in enumerate(_ABBREVIATIONS, 1)},
            "sept": 9,
            **{name: number for number, name in enumerate(english.MONTHS, 1)},
        },
        order="MDY",
        before=tuple(_BESIDE_A_YEAR | _BESIDE_A_MONTH | _BESIDE_A_DAY),
        of=("of",),
        years=("year",),
        month_first=True,
    )
)
_SENTENCE_GOES_ON = regex.compile(r"\s+\w")
_POSSESSIVE_OR_SURNAME = regex.compile(r"['\u2019]s\b|\s+\p{Lu}\p{Ll}")
_NAME_OR_COUNT = regex.compile(r"\s+(?:\p{Lu}\p{Ll}|\p{Ll}+s\b)")
_COUNTED_THINGS = regex.compile(r"\s+\p{Ll}+s\b")
_ENDS_BEFORE = regex.compile(r"\b(?:before|until|till|by|prior to)\s+(?:the\s+)?$")
_BEGINS_AT = regex.compile(r"\bsince\s+(?:the\s+)?$")
_TO = regex.compile(r"\s*(?:to|until|till|through|-|\u2013)\s*(?:the\s+)?")
_AND = regex.compile(r"\s+and\s+(?:the\s+)?")
_BETWEEN = regex.compile(r"\bbetween\b[^.?!]{0,20}$")
_ENDS_A_RANGE = regex.compile(r"\b(?:between|from)\s+\w+\s+(?:and|to)\s+$")
_YEAR = regex.compile(r"[12]\d{3}\b(?!\s+\p{Ll}+s\b)")


Find = Callable[[str, datetime], tuple[Span, tuple[int, int]] | None]
Resolve = Callable[[Date], tuple[Span | None, tuple[int, int]]]


class TimeReference(NamedTuple):
    """A past time that a query names, and its character range in the query.

    `relative`: it refers to the asker's clock ("yesterday"), so its words do not describe messages.
    """

    span: Span
    relative: bool
    text: tuple[int, int]


def time_reference(query: str, now: datetime, language: str = "en") -> TimeReference | None:
    """Return the time that a query names, in the zone of `now`, or None.

    Also return None for future times, and for times before the year 1 or after 9999. `language` is an ISO 639-1
    code; English times are found in any language.
    """
    text = query[:READ_CHARACTERS]
    folded = fold(text)
    found = None
    if language not in {"en", "simple"} and (words := localized(language)) and words.may_name_a_time(folded):
        found = _relative(words.relative_time, folded, now) or _dated(words.dates.find(folded), folded, now)
    if not found and english.may_name_a_time(folded):
        found = _english(text, folded, now)
    return found if found and _exists_in_utc(found.span) else None


def _exists_in_utc(span: Span) -> bool:
    """Return whether both ends are in the years 1 to 9999 in UTC too, because they are compared in UTC."""
    try:
        return span.start.astimezone(UTC) < span.end.astimezone(UTC)
    except OverflowError:
        return False


def _english(text: str, folded: str, now: datetime) -> TimeReference | None:
    if found := _relative(english.relative_time, folded, now):
        if _ENDS_BEFORE.search(folded, endpos=found.text[0]):
            return None
        since = _BEGINS_AT.search(folded, endpos=found.text[0])
        return found._replace(span=Span(found.span.start, now)) if since and found.span.start < now else found
    if season := _relative(english.season, folded, now):
        return season._replace(relative=False)
    dates = [date for date in _ENGLISH_DATES.find(folded) if _is_meant(date, text)]
    return _first(dates, lambda date: _stretched(date, dates, folded, now), now)


def _relative(find: Find, folded: str, now: datetime) -> TimeReference | None:
    try:
        found = find(folded, now)
        span = spans.up_to(found[0], now) if found else None
    except (OverflowError, ValueError):
        return None
    return TimeReference(span, True, found[1]) if found and span else None


def _dated(dates: Iterable[Date], folded: str, now: datetime) -> TimeReference | None:
    """Return the first localized date that exists and is not in the future."""
    meant = (date for date in dates if not _counts(date, folded))
    return _first(meant, lambda date: (resolve(date, spans.midnight(now)), date.text), now)


def _first(dates: Iterable[Date], resolved: Resolve, now: datetime) -> TimeReference | None:
    """Return the first date with a past span.

    Dates that overlap an invalid date are skipped: "30 February 2024" is not February 2024.
    """
    spoilt: list[tuple[int, int]] = []
    for date in dates:
        if any(date.text[0] < end and start < date.text[1] for start, end in spoilt):
            continue
        span, text = resolved(date)
        try:
            past = spans.up_to(span, now) if span else None
        except OverflowError:
            past = None
        if past:
            return TimeReference(past, False, text)
        spoilt.append(date.text)
    return None


def _stretched(date: Date, dates: list[Date], folded: str, now: datetime) -> tuple[Span | None, tuple[int, int]]:
    """Return the span of a date, extended to now for "since" and "after", or to the second date of a range."""
    today = spans.midnight(now)
    start = date.text[0]
    if _ENDS_BEFORE.search(folded, endpos=start) or _ENDS_A_RANGE.search(folded, endpos=start):
        return None, date.text
    second = _second(date, dates, folded)
    if date.preposition == "between" and not second:
        return None, date.text
    span = resolve(date._replace(year=date.year or second.year) if second else date, today)
    if second and span and (other := resolve(second, today)):
        return Span(span.start, other.end), (start, second.text[1])
    return (_after_preposition(date, span, now) if span else None), date.text


def _second(date: Date, dates: list[Date], folded: str) -> Date | None:
    """Return the end date of the range that begins with `date`, or None."""
    end = date.text[1]
    joined = _TO.match(folded, end) or (_BETWEEN.search(folded, endpos=end) and _AND.match(folded, end))
    if not joined:
        return None
    if not date.month and (year := _YEAR.match(folded, joined.end())):
        return Date(int(year[0]), None, None, year.span())
    return next((other for other in dates if other.text[0] == joined.end()), None)


def _after_preposition(date: Date, span: Span, now: datetime) -> Span | None:
    """Return the span changed by "since", "after", or by "last" or "this" before a month, or None."""
    if date.preposition == "this":
        return span if span.start.year == now.year else None
    if date.preposition == "last" and span.end > now:
        return resolve(date._replace(year=span.start.year - 1), spans.midnight(now))
    return {"since": Span(span.start, now), "after": Span(span.end, now)}.get(date.preposition, span)


def _is_meant(date: Date, text: str) -> bool:
    """Return whether a match is a date, and not a number, a name or a verb ("may I", "in 2000 words")."""
    if not date.month:
        return date.preposition in _BESIDE_A_YEAR and not _counts(date, text)
    if not date.day and not date.year:
        return _is_month(date, text)
    if date.named not in _AMBIGUOUS or date.ordinal or (date.day and date.year):
        return True
    if date.preposition in (_BESIDE_A_DAY if date.day else _BESIDE_A_YEAR):
        return True
    goes_on = _NAME_OR_COUNT if _is_capitalised(date, text) else _SENTENCE_GOES_ON
    return not goes_on.match(text, date.text[1])


def _is_month(date: Date, text: str) -> bool:
    if _POSSESSIVE_OR_SURNAME.match(text, date.text[1]):
        return False
    if date.named not in _AMBIGUOUS:
        return date.preposition in _BESIDE_A_MONTH
    is_verb = date.named in _VERBS and not _is_capitalised(date, text)
    return date.preposition in (_WITHIN if is_verb else _BESIDE_A_NAME)


def _is_capitalised(date: Date, text: str) -> bool:
    """Return whether the month name is capitalised, except as the first word of the text."""
    month = fold(text).find(date.named, date.text[0])
    return month > 0 and text[month].isupper()


def _counts(date: Date, text: str) -> bool:
    """Return whether a round year counts things ("in 2000 words")."""
    return not date.month and not (date.year or 1) % 100 and bool(_COUNTED_THINGS.match(text, date.text[1]))
