"""Tables of a language's words for times, from dateparser and ICU. Loaded once per language and process."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import takewhile
from typing import Any

import Stemmer
from icu4py.messageformat import MessageFormat

from deployments.analysis.times.dates import without_abbreviations
from deployments.analysis.times.english import MONTHS, WEEKDAYS
from deployments.analysis.times.folding import fold

UNITS = ("day", "week", "month", "year")
_GREATEST_NUMBER_WORD = 12
# ICU's rules to count masculine and feminine things, and things in Chinese ("两"). For a language without such a rule
# ICU takes its default rule.
_SPELLOUTS = (
    "",
    ",%spellout-cardinal-masculine",
    ",%spellout-cardinal-feminine",
    ",%spellout-cardinal-alternate2",
)
# The Sino-Korean numbers are syllables with other meanings ("이 일 전에", "before this").
_KOREAN = (",%spellout-cardinal-native-attributive",)
_AGO = re.compile(r"(\d+) (day|week|month|year) ago")
_COUNTED_AGO = re.compile(r"\\1 (day|week|month|year) ago")
_COUNT = r"(\d++[.,]?\d*+)"
# dateparser marks Chinese and Japanese only.
_UNSPACED = frozenset({"th"})
# Written with spaces, but particles follow a word without a space.
_WITH_PARTICLES = frozenset({"ko"})
# Of the languages tried, the one that inflects the names of months; dateparser has two cases of six.
_INFLECTED = frozenset({"ru"})
_IS_PATTERN = re.compile(r"[\d\\()\[\]|?*+]")
SHORTEST_ABBREVIATION = 3
_SHORTEST_NAME = 2
_SHORTEST_STEM = 3
_ARTICLE_AND_TWO_WORDS = 3


@dataclass(frozen=True)
class LocaleWords:
    """A language's words for times, casefolded.

    `fixed`: phrases for a fixed number of units ago. `prefixes`, `suffixes`: words before or after a number with a unit
    ("vor 3 Tagen", "3 giorni fa"). `last`: a pattern for the stem of the word for "last"; `last_units`: units before or
    after it. `links`: words between the parts of a date. `within`: prepositions of a month or year alone. `open_left`,
    `open_right`: words have no space before or after them.
    """

    months: Mapping[str, int]
    weekdays: Mapping[str, int]
    units: Mapping[str, str]
    fixed: Mapping[str, tuple[int, str]]
    prefixes: frozenset[str]
    suffixes: frozenset[str]
    last: str
    last_units: Mapping[str, str]
    numbers: Mapping[str, int]
    links: tuple[str, ...]
    within: tuple[str, ...]
    order: str
    open_left: bool
    open_right: bool
    characters: tuple[str, str, str] | None


def locale_words(language: str) -> LocaleWords | None:
    """Return a language's words, or None if dateparser does not know the language."""
    # Imported only for the queries that need it: dateparser takes 0.2 s to import.
    languages = import_module("dateparser.data.languages_info").language_order
    if language not in languages:
        return None
    info = import_module(f"dateparser.data.date_translation_data.{language}").info
    return _Reader(language, info).words()


class _Reader:
    """Converts dateparser's data of one language to tables."""

    def __init__(self, language: str, info: Mapping[str, Any]) -> None:
        self._language = language
        self._info = info
        self._open_left = bool(info.get("no_word_spacing")) or language in _UNSPACED
        self._spaced = not (self._open_left or language in _WITH_PARTICLES)
        counted = list(self._counted_ago())
        self._counted_units = {fold(unit): name for _, unit, _, name in counted}
        self._prefixes = {fold(prefix) for prefix, _, _, _ in counted if prefix}
        self._suffixes = {fold(suffix) for _, _, suffix, _ in counted if suffix}

    def words(self) -> LocaleWords:
        """Return all tables."""
        last, last_units = self._last()
        unplaced = set(self._list("ago")) - self._prefixes - self._suffixes
        return LocaleWords(
            months=self._months(),
            weekdays=self._weekdays(),
            units=self._units(),
            fixed=self._fixed(),
            prefixes=frozenset(self._prefixes | (unplaced if self._prefixes else set())),
            suffixes=frozenset(self._suffixes | unplaced),
            last=last,
            last_units=last_units,
            numbers=self._numbers(),
            links=tuple(self._list("pertain")),
            within=tuple(self._list("in")),
            order=self._info.get("date_order", "DMY"),
            open_left=self._open_left,
            open_right=not self._spaced,
            characters=self._characters(),
        )

    def _list(self, key: str) -> list[str]:
        return [fold(word) for word in self._info.get(key) or ()]

    def _counted_ago(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield prefix, unit, suffix and the unit's English name for each phrase for "3 units ago"."""
        named = {name: sorted(self._list(name), key=len, reverse=True) for name in UNITS}
        for key, templates in self._info.get("relative-type-regex", {}).items():
            if not (english := _COUNTED_AGO.fullmatch(key)):
                continue
            for template in templates:
                prefix, _, rest = template.partition(_COUNT)
                yield (
                    prefix.strip(" -\N{EN DASH}"),
                    *self._unit_and_suffix(rest.strip(), named[english[1]]),
                    english[1],
                )

    def _unit_and_suffix(self, rest: str, units: Iterable[str]) -> tuple[str, str]:
        """Split "giorni fa" and, where there is no space, "日前" into the unit and what follows."""
        known = next((unit for unit in units if not self._spaced and rest.startswith(unit)), "")
        unit, suffix = (known, rest[len(known) :]) if known else rest.partition(" ")[::2]
        return unit, suffix.strip()

    def _months(self) -> dict[str, int]:
        """Return the names and abbreviations, except "1月", which is read as a number."""
        names = {
            name: number
            for number, month in enumerate(MONTHS, 1)
            for name in self._list(month)
            if len(name) >= _SHORTEST_NAME and not any(letter.isdigit() for letter in name)
        }
        return {**_inflected(names, self._language), **names} if self._language in _INFLECTED else names

    def _weekdays(self) -> dict[str, int]:
        """Return the names without abbreviations, or only those that begin with the word for day, if any (Thai)."""
        days = tuple(self._list("day"))
        shortest = SHORTEST_ABBREVIATION if self._spaced else 1
        found: dict[str, int] = {}
        for number, weekday in enumerate(WEEKDAYS):
            names = [name for name in self._list(weekday) if len(name) > shortest and "(" not in name]
            dated = [name for name in names if name.startswith(days)]
            found |= dict.fromkeys(dated or names, number)
        return found

    def _units(self) -> dict[str, str]:
        """Return the units for counting. In Chinese, a single sign is one only if dateparser counts in it."""
        named = {word: name for name in UNITS for word in self._list(name) if len(word) >= _SHORTEST_NAME}
        counted = {w: name for w, name in self._counted_units.items() if len(w) >= _SHORTEST_NAME or not self._spaced}
        return named | counted

    def _fixed(self) -> dict[str, tuple[int, str]]:
        fixed: dict[str, tuple[int, str]] = {}
        for key, phrases in self._info.get("relative-type", {}).items():
            if found := _AGO.fullmatch(key):
                for phrase in map(fold, phrases):
                    fixed |= dict.fromkeys(self._forms(phrase, found[2]), (int(found[1]), found[2]))
        return fixed | self._days_of_simplifications()

    def _forms(self, phrase: str, unit: str) -> Iterator[str]:
        """Yield a phrase, and without its article or preposition ("la semana pasada", "l'année dernière")."""
        if len(phrase) >= _SHORTEST_NAME:
            yield phrase
        words = _parts(phrase)
        if unit != "day" and self._spaced and len(words) >= _ARTICLE_AND_TWO_WORDS:
            yield " ".join(words[-2:])

    def _days_of_simplifications(self) -> dict[str, tuple[int, str]]:
        """Return words that dateparser rewrites to a number of days (Thai)."""
        day = "|".join(map(re.escape, self._list("day")))
        return {
            fold(word): (int(found[1]), "day")
            for rule in self._info.get("simplifications") or ()
            for word, meaning in rule.items()
            if not _IS_PATTERN.search(word) and (found := re.fullmatch(rf"(\d+) (?:{day})", meaning))
        }

    def _numbers(self) -> dict[str, int]:
        """Return number words, ICU's and those that dateparser rewrites to digits."""
        numbers = dict(_spelt_out(self._language, _KOREAN if self._language in _WITH_PARTICLES else _SPELLOUTS))
        for rule in self._info.get("simplifications") or ():
            numbers |= {fold(word): int(value) for word, value in rule.items() if word.isalpha() and value.isdecimal()}
        return numbers

    def _characters(self) -> tuple[str, str, str] | None:
        """Return the signs for year, month and day of languages that write dates with them."""
        if self._spaced or not self._info.get("date_order", "").startswith("Y"):
            return None
        signs = [word for unit in ("year", "month", "day") for word in self._list(unit)[:1]]
        match signs:
            case [year, month, day] if len(year) == len(month) == len(day) == 1:
                return year, month, day
        return None

    def _last(self) -> tuple[str, dict[str, str]]:
        """Return how the word for "last" begins, and the units it is said of, from "last week", "month" and "year"."""
        relative = self._info.get("relative-type", {})
        phrases = {unit: [fold(p) for p in relative.get(f"1 {unit} ago", ())] for unit in ("week", "month", "year")}
        if not self._spaced:
            return _last_of_signs(phrases, self._units_of_signs())
        stem, units = _last_of_words(phrases)
        return (Stemmer.Stemmer(self._language).stemWord(stem) if self._language in _INFLECTED else stem), units

    def _units_of_signs(self) -> dict[str, str]:
        counted = {word: unit for word, unit in self._counted_units.items() if unit in {"week", "month"}}
        return counted | {word: unit for unit in ("week", "month") for word in self._list(unit)}


def _last_of_words(phrases: Mapping[str, list[str]]) -> tuple[str, dict[str, str]]:
    """Return the common stem of "letzte Woche", "letzten Monat" and "letztes Jahr", and the units.

    Each phrase counts with its last two words. The position with the longer common prefix is the word for "last".
    """
    pairs = [
        (unit, words[-2:]) for unit, of_unit in phrases.items() for words in map(_parts, of_unit) if len(words) > 1
    ]
    longest = {
        unit: max((pair for of, pair in pairs if of == unit), key=lambda pair: len("".join(pair))) for unit, _ in pairs
    }
    prefixes = [_common_beginning([pair[place] for pair in longest.values()]) for place in (0, 1)]
    place = max((0, 1), key=lambda place: len(prefixes[place]))
    stem = prefixes[place].rstrip("".join(_marks(prefixes[place])))
    if len(stem) < _SHORTEST_STEM:
        return "", {}
    return stem, {pair[1 - place]: unit for unit, pair in pairs if pair[place].startswith(stem)}


def _parts(phrase: str) -> list[str]:
    """Split at spaces, and at the apostrophe of "l'année"."""
    return re.split(r"[\s']", phrase)


def _common_beginning(words: Iterable[str]) -> str:
    return "".join(
        letters[0] for letters in takewhile(lambda letters: len(set(letters)) == 1, zip(*words, strict=False))
    )


def _marks(text: str) -> Iterator[str]:
    """Yield the vowel signs of a text: in Hindi they inflect the last letter."""
    yield from (letter for letter in text if unicodedata.category(letter).startswith("M"))


def _last_of_signs(phrases: Mapping[str, list[str]], units: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return a pattern of what remains of phrases like "上周" without the unit ("周"), and the units."""
    rests = {
        rest
        for unit, of_unit in phrases.items()
        for phrase in of_unit
        for word, named in units.items()
        if named == unit and word in phrase and (rest := phrase.replace(word, "", 1).strip())
    }
    return "|".join(sorted(map(re.escape, rests), key=len, reverse=True)), dict(units)


def _spelt_out(language: str, rules: Iterable[str]) -> Iterator[tuple[str, int]]:
    for rule in rules:
        form = MessageFormat(f"{{number,spellout{rule}}}", language)
        for number in range(1, _GREATEST_NUMBER_WORD + 1):
            yield fold(form.format({"number": number}).replace("\u00ad", "").replace("\u200b", "")), number


def _inflected(months: Mapping[str, int], language: str) -> dict[str, int]:
    """Return each month's stem plus one letter, where that keeps the stem ("мае", "январе")."""
    stemmer = Stemmer.Stemmer(language)
    stems = {stemmer.stemWord(name): number for name, number in without_abbreviations(months).items()}
    letters = {letter for name in months for letter in name}
    return {
        stem + letter: number
        for stem, number in stems.items()
        for letter in letters
        if stemmer.stemWord(stem + letter) == stem
    }
