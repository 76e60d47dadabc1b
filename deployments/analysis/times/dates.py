"""Finds written dates ("3 May", "May 2023", "2024-05-03") with one language's names. Pure functions."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import regex

from deployments.analysis.times import spans
from deployments.analysis.times.spans import Span

FIRST_YEAR = 1900
LAST_MONTH = 12
# Thai years count from 543 BC. A year that far in the future is read as one of those.
_BUDDHIST_ERA = 543
_EARLIEST_BUDDHIST_YEAR = 2400
_ORDINAL = r"(?P<ordinal>st|nd|rd|th|er|\.|º|ª)?"
_YEAR = r"(?P<year>[12]\d{3})(?![\w/-]|[.:,]\d)"
_UNSPACED_YEAR = r"(?P<year>[12]\d{3})(?![\d/-]|[.:,]\d)"
_DAY = r"(?P<day>\d{1,2})"
_DAY_MONTH_YEAR = r"(?<![\w/.:-])(\d{1,2})([/.-])(\d{1,2})\2([12]\d{3})(?![\w/-]|\.\d)"
_ISO = r"(?<![\w/.:-])(?P<year>[12]\d{3})(?P<mark>[-/])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})(?![\w/-]|[.:]\d)"
_DOTTED = r"(?<![\w/.:-])(?P<year>[12]\d{3})\.\s?(?P<month>\d{1,2})\.\s?(?P<day>\d{1,2})(?![\w/-]|\.\d)"


class Date(NamedTuple):
    """A date as written in a text, and its character range."""

    year: int | None
    month: int | None
    day: int | None
    text: tuple[int, int]
    ordinal: bool = False
    preposition: str = ""
    named: str = ""


@dataclass(frozen=True)
class DateWords:
    """A language's words for the parts of a date.

    `abbreviations` count as months only between a day and a year, because many are also other words. `before` and
    `after` are the prepositions of a month or year alone ("in May", "May in" in Hindi); `of` joins the parts.
    `characters` are the signs for year, month and day in Chinese, Japanese and Korean dates.
    """

    months: Mapping[str, int]
    abbreviations: Mapping[str, int] = field(default_factory=dict)
    order: str = "DMY"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    years: tuple[str, ...] = ()
    dated_years: tuple[str, ...] = ()
    month_first: bool = False
    characters: tuple[str, str, str] | None = None
    ago: tuple[str, ...] = ()
    spaced: bool = True


class Dates:
    """The date patterns of one language."""

    def __init__(self, words: DateWords) -> None:
        self._months = {**words.abbreviations, **words.months}
        self._patterns = [regex.compile(pattern) for pattern in _patterns(words)]
        self._day_month_year = regex.compile(_DAY_MONTH_YEAR)
        self._order = words.order

    def find(self, folded: str) -> Iterator[Date]:
        """Yield the dates of a casefolded text in the order of the patterns, most exact first."""
        yield from self._numeric(folded)
        for pattern in self._patterns:
            for found in pattern.finditer(folded):
                yield self._date(found)

    def _numeric(self, folded: str) -> Iterator[Date]:
        """Yield dates like 05/03/2024 in the language's order, or in the other order if that gives no valid month.

        Dots mean day first. In a month-first language, ambiguous dates with dots are skipped.
        """
        for found in self._day_month_year.finditer(folded):
            day, month, year = int(found[1]), int(found[3]), int(found[4])
            ambiguous = day <= LAST_MONTH and month <= LAST_MONTH
            month_first = self._order.startswith("M")
            if ambiguous and month_first and found[2] == ".":
                continue
            if (ambiguous and month_first) or month > LAST_MONTH:
                day, month = month, day
            yield Date(year, month, day, found.span())

    def _date(self, found: regex.Match[str]) -> Date:
        groups = found.groupdict()
        month = groups.get("month")
        return Date(
            _int(groups.get("year")),
            (int(month) if month.isdecimal() else self._months[month]) if month else None,
            _int(groups.get("day")),
            found.span(),
            ordinal=bool(groups.get("ordinal")),
            preposition=(groups.get("preposition") or "").strip(),
            named=month or "",
        )


def resolve(date: Date, today: datetime) -> Span | None:
    """Return the span of a date, or None if no such date exists."""
    year = date.year
    if year and year >= max(_EARLIEST_BUDDHIST_YEAR, today.year + 100):
        year -= _BUDDHIST_ERA
    if year is not None and year < FIRST_YEAR:
        return None
    try:
        return spans.date_span(year, date.month, date.day, today)
    except (ValueError, OverflowError):
        return None


def any_of(words: Iterable[str]) -> str:
    """Return a pattern that matches any of the words, longest first, or nothing if there are none."""
    return "|".join(regex.escape(word) for word in sorted(words, key=lambda word: (-len(word), word))) or r"(?!)"


def without_abbreviations(names: Mapping[str, int]) -> dict[str, int]:
    """Return the names without those that are a prefix of another name with the same number."""
    return {
        name: number
        for name, number in names.items()
        if not any(number == other and longer != name and longer.startswith(name) for longer, other in names.items())
    }


def _int(text: str | None) -> int | None:
    return int(text) if text else None


def _patterns(words: DateWords) -> Iterator[str]:
    yield _ISO
    if words.order.startswith("Y"):
        yield _DOTTED
    if words.characters:
        yield from _of_characters(*words.characters, any_of(words.ago))
    else:
        yield from _of_names(words)


def _of_characters(year: str, month: str, day: str, ago: str) -> Iterator[str]:
    """Yield the patterns of dates like 2023年5月3日. 号 is colloquial Chinese for 日 and not in CLDR."""
    start, end = r"(?<![\d.,])", rf"(?!\s*(?:{ago}|間|间))"
    of_year, of_month = rf"(?P<year>[12]\d{{3}})\s?{year}", rf"(?P<month>\d{{1,2}})\s?{month}"
    yield rf"{start}(?:{of_year}\s?)?{of_month}\s?{_DAY}\s?(?:{day}|号|號)"
    yield rf"{start}{of_year}\s?{of_month}"
    yield rf"{start}{of_month}{end}"
    yield rf"{start}{of_year}{end}"


def _of_names(words: DateWords) -> Iterator[str]:
    start, end = (r"(?<![\w'\u2019-])", r"(?![\w-])") if words.spaced else (r"(?<![\d.,])", r"(?!\d)")
    month = rf"(?P<month>{any_of(words.months)})\.?"
    abbreviated = rf"(?P<month>{any_of(words.abbreviations)})\.?"
    full = rf"(?P<month>{any_of(without_abbreviations(words.months))})"
    of = rf"(?:\s*,?\s+(?:(?:{any_of(words.of)})\s+)?|,\s*)" if words.spaced else r"\s*"
    before = rf"(?P<preposition>(?:{any_of(words.before)})\s+)"
    year = _YEAR if words.spaced else _UNSPACED_YEAR
    day = rf"{start}{before}?(?:the\s)?{_DAY}{_ORDINAL}{of}"
    yield rf"{day}{month}(?:{of}{year}|{end})"
    yield rf"{day}{abbreviated}{of}{year}"
    if words.month_first:
        yield rf"{start}{before}?{month}\s(?:the\s)?{_DAY}{_ORDINAL}(?:,?\s{year}|(?![\w/-]|[.:,]\d))"
    yield rf"{start}{before}?{month}{of}{year}"
    yield rf"{start}{before}{full}{end}"
    yield rf"{start}{full}\s(?P<preposition>{any_of(words.after)}){end}"
    yield rf"{start}{before}(?:(?:the\s)?(?:{any_of(words.years)})\s)?{year}"
    yield rf"{start}(?:{any_of(words.years)})\s?{year}"
    yield rf"{start}{year}\s?(?:{any_of(words.dated_years)}){end}"
