"""Splits a normalised text into words, with boundaries as in UAX #29 and the parts of identifiers. Pure functions."""

import re
from collections.abc import Iterator
from enum import Enum, auto
from itertools import pairwise
from typing import NamedTuple

import regex

from deployments.analysis.normalization import casefolded, normalized

# Written without spaces between words (Han, kana, Thai, Lao, Khmer, Burmese), or with particles attached (Hangul).
# `Complex_Context` is Unicode's class of scripts whose word boundaries only a dictionary can tell.
_UNSPACED = r"\p{Line_Break=Complex_Context}\p{Ideographic}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}ー〱-〵"
_LETTER = r"\p{L}\p{M}\p{N}"
# A combining mark without a letter before it belongs to no word.
_RUN = rf"[\p{{L}}\p{{N}}][{_LETTER}]*"
_SPACED = rf"(?:(?![{_UNSPACED}])[{_LETTER}])+"
# Characters that join words into an identifier: e-mail addresses, URLs, paths, versions, a/b, a-b, a_b, Foo.js, a::b.
_JOINER = r"(?:://|::|[.'_\-/@:&=~%\\?#+])"

# A "+" or "#" at the end belongs to the word: C++, C#.
_CHUNK = regex.compile(rf"{_RUN}(?:{_JOINER}{_RUN})*(?:\+\+|\#)?|\p{{So}}")
# The same for ASCII, in half the time.
_CHUNK_ASCII = re.compile(rf"[A-Za-z0-9]+(?:{_JOINER}[A-Za-z0-9]+)*(?:\+\+|\#)?")
# A chunk without adjacent words of unspaced scripts.
_SPACED_CHUNK = regex.compile(rf"{_SPACED}(?:{_JOINER}{_SPACED})*(?:\+\+|\#)?")
_PART = regex.compile(rf"[{_UNSPACED}][{_UNSPACED}\p{{M}}]*|{_SPACED}(?:'{_SPACED})*")
_PLAIN = regex.compile(rf"[{_UNSPACED}]\p{{M}}*|{_SPACED}")
# The same for most English texts, in a tenth of the time.
_PLAIN_ASCII = re.compile(r"[a-z0-9]+")
_HAS_UNSPACED = regex.compile(rf"[{_UNSPACED}]")
_HAS_JOINER = regex.compile(rf"(?!'){_JOINER}")
_SEGMENT_ENDS = regex.compile(r"://|::|[/@:&=?#\\]")
_HAS_MARK = regex.compile(r"\p{M}")
_CLUSTER = regex.compile(r"\P{M}\p{M}*|\p{M}+")
# "A77", "v2" and "5th" change between letters and digits, "widgetHandle" changes case.
_CHANGES = regex.compile(r"\p{N}[\p{L}\p{M}]|[\p{L}\p{M}]\p{N}|\p{Ll}\p{Lu}")
_PIECE = regex.compile(r"\p{N}+|\p{Lu}+(?=\p{Lu}\p{Ll})|\p{Lu}*(?:(?![\p{N}\p{Lu}])[\p{L}\p{M}])+|\p{Lu}+")
_LETTERS = regex.compile(r"\p{L}[\p{L}\p{M}]*")
# "e-mail" is also written "email", and "U.S.A" "USA".
_WRITTEN_TOGETHER = regex.compile(r"\p{L}+-\p{L}+|\p{L}(?:\.\p{L})+")
# Telephone, account and version numbers, amounts: groups of digits, whatever single sign or bracket separates them.
_DIGIT_GROUPS = regex.compile(r"\d+(?:(?:[ .,'\-/]|\)[ .\-/]?|[ .\-/]?\()\d+)+")
_WRITTEN_APART = regex.compile(r"[ ()]")
_DIGITS = regex.compile(r"\d+")
_THOUSANDS = regex.compile(r"\d{1,3}(?P<separator>[.,'])\d{3}(?:(?P=separator)\d{3})*(?:[.,]\d+)?")
_LEAST_JOINED_DIGITS = 6
# Only the last groups of a list of numbers are joined: no telephone, card or account number has more.
_MOST_DIGIT_GROUPS = 9
_LEAST_BEFORE_APOSTROPHE, _LEAST_BEHIND_APOSTROPHE = 2, 3


class Kind(Enum):
    """Role of a word in its text."""

    WORD = auto()  # counts towards the length of the text
    PAIR = auto()  # two adjacent characters of an unspaced script, which count as a word
    FORM = auto()  # a part of a word, as an alternative term
    IDENTIFIER = auto()  # a whole identifier of several words
    CHARACTER = auto()  # one character of an unspaced script


class Word(NamedTuple):
    """A word in its original case."""

    text: str
    kind: Kind


def chunks(text: str) -> list[str]:
    """Return the words and identifiers of a normalised text, split at spaces and punctuation, in order."""
    found: list[str] = (_CHUNK_ASCII if text.isascii() else _CHUNK).findall(text)
    return found


def chunk_places(text: str) -> Iterator[tuple[int, str]]:
    """Yield the start and the text of each chunk. The text need not be normalised."""
    for found in (_CHUNK_ASCII if text.isascii() else _CHUNK).finditer(text):
        yield found.start(), found[0]


def words_of(chunk: str) -> Iterator[Word]:
    """Yield the words of a chunk, and their alternative forms."""
    return _word(chunk) if chunk.isascii() and chunk.isalpha() else _identifier(chunk)


def plain_words(text: str) -> list[str]:
    """Return the casefolded words of a text, and each character of unspaced scripts, without stemming."""
    if text.isascii():
        return _PLAIN_ASCII.findall(text.lower())
    found: list[str] = _PLAIN.findall(casefolded(normalized(text)))
    return found


def numbers(text: str) -> Iterator[str]:
    """Yield alternative forms of a text's numbers, which may contain spaces."""
    for groups in _DIGIT_GROUPS.findall(text):
        yield from _numbers(groups)


def _identifier(chunk: str) -> Iterator[Word]:
    """Yield the words of a chunk, then the identifiers that contain them."""
    for part in _PART.findall(chunk):
        yield from _unspaced(part) if _HAS_UNSPACED.match(part) else _word(part)
    for spaced in _SPACED_CHUNK.findall(chunk) if _HAS_UNSPACED.search(chunk) else (chunk,):
        if _PART.fullmatch(spaced) is None:
            yield from _written_as_one(spaced)


def _written_as_one(identifier: str) -> Iterator[Word]:
    if _WRITTEN_TOGETHER.fullmatch(identifier):
        yield Word(identifier.replace("-", "").replace(".", ""), Kind.FORM)
    yield Word(identifier, Kind.IDENTIFIER)
    for segment in _SEGMENT_ENDS.split(identifier):
        if segment != identifier and _HAS_JOINER.search(segment):
            yield Word(segment, Kind.IDENTIFIER)


def _word(word: str) -> Iterator[Word]:
    yield Word(word, Kind.WORD)
    if "'" in word:
        yield from _beside_apostrophe(word)
    if _CHANGES.search(word):
        pieces = dict.fromkeys((*_PIECE.findall(word), *_LETTERS.findall(word)))
        yield from (Word(piece, Kind.FORM) for piece in pieces if piece != word)


def _beside_apostrophe(word: str) -> Iterator[Word]:
    """Yield the parts around apostrophes ("l'amour", "Jo's", "rock'n'roll"), but not "don" of "don't"."""
    before, *behind = word.split("'")
    if behind[0].lower() != "t" and len(before) >= _LEAST_BEFORE_APOSTROPHE:
        yield Word(before, Kind.FORM)
    yield from (Word(part, Kind.FORM) for part in behind if len(part) >= _LEAST_BEHIND_APOSTROPHE)


def _unspaced(run: str) -> Iterator[Word]:
    """Yield overlapping pairs of characters, and single characters for one-character queries."""
    characters = _CLUSTER.findall(run) if _HAS_MARK.search(run) else run
    if len(characters) == 1:
        yield Word(run, Kind.PAIR)
        return
    for pair in pairwise(characters):
        yield Word("".join(pair), Kind.PAIR)
    for character in characters:
        yield Word(character, Kind.CHARACTER)


def _numbers(groups: str) -> Iterator[str]:
    """Yield a number as written ("2.3.1" of "v2.3.1"), without separators, and without its first groups."""
    if _WRITTEN_APART.search(groups) is None:
        yield groups
    if _THOUSANDS.fullmatch(groups):
        separator = next(character for character in groups if not character.isdecimal())
        plain = groups.replace(separator, "").replace(",", ".")
        yield plain
        yield plain.partition(".")[0]
    digits = _DIGITS.findall(groups)
    for start in range(max(len(digits) - _MOST_DIGIT_GROUPS, 0), len(digits) - 1):
        joined = "".join(digits[start:])
        if len(joined) >= _LEAST_JOINED_DIGITS:
            yield joined
