"""Finds relative times in other languages, with the tables of `locales`. Pure except for loading the tables."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

import regex

from deployments.analysis.times import spans
from deployments.analysis.times.dates import Dates, DateWords, any_of, without_abbreviations
from deployments.analysis.times.locales import SHORTEST_ABBREVIATION, LocaleWords, locale_words
from deployments.analysis.times.spans import Span

# "letzte", "letzten", "dernière": endings after the stem of the word for "last".
_ENDING = r"\w{0,3}"
_WORD = regex.compile(r"\w+")
_SHORTEST_TELLING_WORD = 3
# ISO 639-1 has 183 codes.
LANGUAGES = 200


@lru_cache(maxsize=LANGUAGES)
def localized(language: str) -> "Localized | None":
    """Return the patterns of a language, or None if there are no tables for it. The first call takes 0.2 s."""
    words = locale_words(language)
    return Localized(words) if words else None


class Localized:
    """The patterns of one language. Immutable, so threads may share it."""

    def __init__(self, words: LocaleWords) -> None:
        self._words = words
        self.dates = Dates(_date_words(words))
        self._gate = _Gate(words)
        self._weeks = tuple(name for name, unit in words.last_units.items() if unit == "week")
        left = r"(?<!\d[.,])(?<!\d)" if words.open_left else r"(?<![\w-])(?<!\d[.,])"
        right = "" if words.open_right else r"(?![\w-])"
        self._ago = [regex.compile(left + pattern + right) for pattern in _ago(words)]
        self._weekday = [regex.compile(left + pattern + right) for pattern in _last(words, words.weekdays)]
        self._last = [regex.compile(left + pattern + right) for pattern in _last(words, words.last_units)]
        self._fixed = regex.compile(rf"{left}(?P<name>{any_of(words.fixed)}){right}")
        weeks = [phrase for phrase, meaning in words.fixed.items() if meaning == (1, "week") and words.open_right]
        self._weekday_of_week = regex.compile(
            rf"{left}(?:{any_of(weeks)})\s?(?:{any_of(words.links)})?\s?(?P<name>{any_of(words.weekdays)})"
        )

    def may_name_a_time(self, folded: str) -> bool:
        """Return whether a casefolded text may contain a time. False is certain."""
        return self._gate.opens(folded)

    def relative_time(self, folded: str, now: datetime) -> tuple[Span, tuple[int, int]] | None:
        """Return the first relative time of a casefolded text, and its character range.

        Raise OverflowError for times outside of the years 1 to 9999.
        """
        today = spans.midnight(now)
        if found := _first(self._ago, folded):
            unit = self._words.units[found["unit"]]
            return spans.ago(self._number(found["number"]), unit, today), found.span()
        if found := self._weekday_of_week.search(folded):
            return spans.weekday_of_last_week(self._words.weekdays[found["name"]], today), found.span()
        if found := _first(self._weekday, folded):
            # "上周一" is the Monday of last week, because "周一" begins with the word for week.
            counted = spans.weekday_of_last_week if found["name"].startswith(self._weeks) else spans.last_weekday
            return counted(self._words.weekdays[found["name"]], today), found.span()
        if found := self._fixed.search(folded):
            return _fixed(*self._words.fixed[found["name"]], today), found.span()
        if found := _first(self._last, folded):
            return spans.last(self._words.last_units[found["name"]], today), found.span()
        return None

    def _number(self, text: str) -> int:
        return int(text) if text.isdecimal() else self._words.numbers[text]


class _Gate:
    """A cheap test that rejects most texts without a time: it looks for a digit or a word of the tables."""

    def __init__(self, words: LocaleWords) -> None:
        whole = {*words.fixed, *words.weekdays, *words.units, *words.last_units, *without_abbreviations(words.months)}
        self._spaced = not (words.open_left or words.open_right)
        self._words = frozenset(part for word in whole for part in _telling_parts(word) if self._spaced) or frozenset(
            {*words.fixed, *words.weekdays, *words.suffixes, *words.months, *words.last.split("|")}
        )

    def opens(self, folded: str) -> bool:
        if any(map(str.isdecimal, folded)):
            return True
        if self._spaced:
            return not self._words.isdisjoint(_WORD.findall(folded))
        return any(word in folded for word in self._words)


def _telling_parts(phrase: str) -> Iterable[str]:
    parts = _WORD.findall(phrase)
    return [part for part in parts if len(part) >= _SHORTEST_TELLING_WORD] or parts


def _first(patterns: list[regex.Pattern[str]], folded: str) -> regex.Match[str] | None:
    return next((found for pattern in patterns if (found := pattern.search(folded))), None)


def _fixed(count: int, unit: str, today: datetime) -> Span:
    """Return a whole day, the current or last unit, or the time `count` units ago."""
    if unit == "day":
        return spans.days_ago(count, today)
    if count > 1:
        return spans.ago(count, unit, today)
    return spans.last(unit, today) if count else spans.this(unit, today)


def _ago(words: LocaleWords) -> Iterable[str]:
    """Yield the patterns for "N units ago", with the word for "ago" before or after."""
    space = r"\s?" if words.open_right else r"\s"
    counted = rf"(?P<number>\d{{1,3}}|{any_of(words.numbers)}){space}(?P<unit>{any_of(words.units)})"
    if words.prefixes:
        yield rf"(?:{any_of(words.prefixes)})\s{counted}"
    if words.suffixes:
        yield rf"{counted}{space}(?:{any_of(words.suffixes)})"


def _last(words: LocaleWords, names: Iterable[str]) -> Iterable[str]:
    """Yield the patterns for the last unit or weekday, with the word for "last" before or after it."""
    if not words.last:
        return
    name = rf"(?P<name>{any_of(names)})"
    if words.open_right:
        yield rf"(?:{words.last})\s?{name}"
        yield rf"{name}\s?(?:{words.last})"
    else:
        yield rf"{words.last}{_ENDING}\s{name}"
        yield rf"{name}\s{words.last}{_ENDING}"


def _date_words(words: LocaleWords) -> DateWords:
    names = without_abbreviations(words.months)
    years = tuple(name for name, unit in words.units.items() if unit == "year")
    return DateWords(
        months=names,
        abbreviations={
            name: number
            for name, number in words.months.items()
            if name not in names and len(name) >= SHORTEST_ABBREVIATION
        },
        order=words.order,
        before=words.within,
        after=words.within,
        of=words.links,
        years=years,
        dated_years=tuple(name for name, unit in words.last_units.items() if unit == "year"),
        characters=words.characters,
        ago=tuple(words.suffixes),
        spaced=not words.open_left,
    )
