"""Shortens a text: cuts out its middle, or keeps only the passage that matches a query best. Pure functions."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from math import log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import regex

from deployments.analysis.normalization import casefolded, normalized, unaccented
from deployments.analysis.query import STOP_WORD_WEIGHT
from deployments.analysis.stop_words import stop_terms
from deployments.analysis.terms import LONGEST_REMEMBERED, Languages, query_terms
from deployments.analysis.words import chunk_places
from deployments.search.context.tokens import weigh, weigh_characters

MARK = "[...]"
_BETWEEN, _BEFORE, _BEHIND = f" {MARK} ", f"{MARK} ", f" {MARK}"
# A cut moves to a sentence end, else a word end, by at most an eighth of the kept text and at most _MOST_MOVED.
_SENTENCE_SHARE, _MOST_MOVED = 8, 120
_SENTENCE_END = regex.compile(r"[.!?\u2026\u061f\u06d4\u0964]+[\p{Pf}\p{Pe}\p{Po}\"']*(?=\s)|[\u3002\uff01\uff1f]|\n")
_SPACE = regex.compile(r"\s+")
_CLUSTER = regex.compile(r"\X")
_FLAGS = regex.compile(r"(?r)[\U0001F1E6-\U0001F1FF]*")
# A family emoji has 11 code points. Unicode's Stream-Safe Text Format allows 30 marks on a letter.
_LONGEST_CLUSTER = 64
_CHARACTERS_A_WORD = 5


class _Found(NamedTuple):
    """An occurrence of a query term in a text, as a character range."""

    start: int
    end: int
    term: str


def cut_middle(text: str, room: int) -> str:
    """Return the beginning and the end of a text with a mark between them, within `room` hundredths of a token.

    A text that fits is returned whole. Return an empty string if not even one character of each end fits.
    """
    weights = weigh_characters(text)
    if weights[-1] <= room:
        return text
    half = (room - weigh(_BETWEEN)) // 2
    end, start = _ends(weights, half)
    head = text[: _back(text, end, 0)].rstrip()
    # The end gets the room that the beginning saves by stopping at a sentence end.
    start = bisect_left(weights, int(weights[-1]) - (2 * half - weigh(head))) if head else start
    tail = text[_forth(text, start, len(text)) :].lstrip()
    return f"{head}{_BETWEEN}{tail}" if head and tail else ""


class Passages:
    """Cuts texts around the words of a query, analysed in the given languages."""

    def __init__(self, query: str, languages: Languages) -> None:
        self._query = query
        self._languages = languages

    def cut(self, text: str, room: int) -> str:
        """Return the passage with most of the query's rare words, marked where it was cut, within `room`.

        `room`: in hundredths of a token. A text that fits is returned whole, and a text without query words is cut in
        its middle. Return an empty string if not even one character fits.
        """
        weights = weigh_characters(text)
        if weights[-1] <= room:
            return text
        inside = room - weigh(_BEFORE) - weigh(_BEHIND)
        found = self._best(list(self._find(text)), weights, inside)
        if found is None:
            return cut_middle(text, room)
        start, end = _widened(weights, found, inside)
        start, end = _forth(text, start, found[0]), _back(text, end, found[1])
        before, behind = _BEFORE if start else "", _BEHIND if end < len(text) else ""
        kept = text[start:end].strip()
        return f"{before}{kept}{behind}" if kept else ""

    @cached_property
    def _terms(self) -> frozenset[str]:
        return frozenset(query_terms(self._query, self._languages).terms)

    @cached_property
    def _lengths(self) -> dict[str, list[int]]:
        """Return how long the terms are that begin with each character, shortest first."""
        lengths: dict[str, set[int]] = {}
        for term in self._terms:
            lengths.setdefault(term[0], set()).add(len(term))
        return {character: sorted(found) for character, found in lengths.items()}

    def _find(self, text: str) -> Iterator[_Found]:
        """Yield the occurrences of the query's terms, ordered by start."""
        known: dict[str, frozenset[str]] = {}
        for start, chunk in chunk_places(text):
            if len(chunk) > LONGEST_REMEMBERED:
                yield from self._find_inside(start, chunk)
                continue
            terms = known.get(chunk)
            if terms is None:
                terms = known[chunk] = self._terms.intersection(query_terms(chunk, self._languages).terms)
            for term in terms:
                yield _Found(start, start + len(chunk), term)

    def _find_inside(self, start: int, chunk: str) -> Iterator[_Found]:
        """Yield occurrences in a clause without spaces or a long identifier: analysing it would take 1 us a letter.

        Folding seldom changes the length of a text; where it does, the positions are approximate.
        """
        folded = unaccented(casefolded(normalized(chunk)))
        scale = len(chunk) / max(len(folded), 1)
        # By length, as to look for each of 900 terms took 120 s in a text of e-mail addresses.
        for place, character in enumerate(folded):
            for length in self._lengths.get(character, ()):
                if (term := folded[place : place + length]) in self._terms:
                    first = int(place * scale)
                    yield _Found(start + first, start + min(first + length, len(chunk)), term)

    def _best(self, found: list[_Found], weights: npt.NDArray[np.int64], inside: int) -> tuple[int, int] | None:
        """Return the window within weight `inside` whose distinct terms are worth most, ties by most occurrences."""
        worth = self._worth(found, len(weights))
        held: Counter[str] = Counter()
        best, first, value = (0.0, 0), 0, 0.0
        window: tuple[int, int] | None = None
        for last, word in enumerate(found):
            value += worth[word.term] if not held[word.term] else 0.0
            held[word.term] += 1
            while first <= last and weights[word.end] - weights[found[first].start] > inside:
                held[found[first].term] -= 1
                value -= worth[found[first].term] if not held[found[first].term] else 0.0
                first += 1
            # Rounded, because sums of the same parts in another order differ in the last digits.
            score = (round(value, 6), last + 1 - first)
            if score > best:
                best, window = score, (found[first].start, word.end)
        return window

    def _worth(self, found: list[_Found], characters: int) -> dict[str, float]:
        """Return the worth of each term: its inverse frequency in the text, lower for stop words."""
        stop = stop_terms(self._languages)
        words = characters / _CHARACTERS_A_WORD
        return {
            term: log(1 + words / times) * (STOP_WORD_WEIGHT if term in stop else 1.0)
            for term, times in Counter(each.term for each in found).items()
        }


def _ends(weights: npt.NDArray[np.int64], each: int) -> tuple[int, int]:
    """Return the end of a head of weight `each`, and the start of a tail of that weight."""
    return max(bisect_right(weights, each) - 1, 0), bisect_left(weights, int(weights[-1]) - max(each, 0))


def _widened(weights: npt.NDArray[np.int64], inner: tuple[int, int], inside: int) -> tuple[int, int]:
    """Return a window of weight `inside` around the inner one, with equal room before and after where possible."""
    low, high, total = int(weights[inner[0]]), int(weights[inner[1]]), int(weights[-1])
    spare = inside - (high - low)
    before = min(low, max(spare // 2, spare - (total - high)))
    start = bisect_left(weights, low - before)
    return start, bisect_right(weights, int(weights[start]) + inside) - 1


def _back(text: str, end: int, least: int) -> int:
    """Return the last good end from `least` to `end`: after a sentence, else a word, else a grapheme cluster."""
    if end >= len(text):
        return len(text)
    lowest = max(end - min((end - least) // _SENTENCE_SHARE, _MOST_MOVED), least)
    for border in (_SENTENCE_END, _SPACE):
        places = [at.end() for at in border.finditer(text, lowest, end + 1) if lowest < at.end() <= end + 1]
        if places:
            return min(places[-1], end)
    return _cluster_border(text, end, forth=False)


def _forth(text: str, start: int, most: int) -> int:
    """Return the first good start from `start` to `most`, by the same order of preference as `_back`."""
    if start <= 0:
        return 0
    highest = min(start + min((most - start) // _SENTENCE_SHARE, _MOST_MOVED), most)
    for border in (_SENTENCE_END, _SPACE):
        place = next((at.end() for at in border.finditer(text, start - 1, highest)), 0)
        if start <= place < most:
            return place
    return _cluster_border(text, start, forth=True)


def _cluster_border(text: str, place: int, *, forth: bool) -> int:
    """Return the nearest border of the grapheme cluster (a flag, a letter with its marks) at `place`, or `place`."""
    if text.isascii():
        return place
    start = max(place - _LONGEST_CLUSTER, 0)
    flags = _FLAGS.match(text, 0, start)
    if flags:
        # Flags are pairs of letters, counted from the start of the run.
        start -= len(flags[0]) % 2
    # Search only this part: within a run of flags `regex` scans back to the first one each time.
    for cluster in _CLUSTER.finditer(text[start : place + _LONGEST_CLUSTER]):
        first, end = start + cluster.start(), start + cluster.end()
        if first <= place < end:
            border = end if forth and place > first else first
            return border if end - first < _LONGEST_CLUSTER else place
    return place
