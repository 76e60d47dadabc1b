"""From a text to its terms, the same for documents and queries. Pure."""

from collections import Counter
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from deployments.search.analysis.languages import Language, stem
from deployments.search.analysis.normalization import casefolded, normalized, unaccented
from deployments.search.analysis.words import Kind, chunks, numbers, words_of

# A longer word is found by its first characters. A key of Postgres' indexes holds 2,704 bytes, of which the name of a
# tenant takes up to 1,020.
LONGEST_TERM = 200
REMEMBERED_CHUNKS = 50_000
LONGEST_REMEMBERED = 24

Languages: TypeAlias = tuple[Language, ...]


class Terms(NamedTuple):
    """How often each term occurs in a text.

    `words`: those that make up its length. `forms`: further terms by which the same words are found.
    """

    words: dict[str, int]
    forms: dict[str, int]


def document_terms(text: str, languages: Languages) -> Terms:
    """Return the terms of a text to be stored, stemmed as in each of the languages, of which the first counts."""
    plain = normalized(text)
    counted: list[str] = []
    forms: list[str] = list(numbers(plain))
    for chunk in chunks(plain):
        terms = _terms_of(chunk, languages)
        counted += terms.words
        forms += terms.forms
        forms += terms.characters
    return Terms(Counter(counted), Counter(forms))


def query_terms(text: str, languages: Languages) -> list[str]:
    """Return the terms by which a query's words are found, each once, in the order in which they stand."""
    plain = normalized(text)
    terms: dict[str, None] = {}
    for chunk in chunks(plain):
        found = _terms_of(chunk, languages)
        terms.update(dict.fromkeys((*found.words, *found.forms)))
    terms.update(dict.fromkeys(numbers(plain)))
    return list(terms)


class _ChunkTerms(NamedTuple):
    words: tuple[str, ...]
    forms: tuple[str, ...]
    characters: tuple[str, ...]


def _terms_of(chunk: str, languages: Languages) -> _ChunkTerms:
    """Most words of a text have been seen before: 25 microseconds a message in place of 160."""
    return _remembered(chunk, languages) if len(chunk) <= LONGEST_REMEMBERED else _analyzed(chunk, languages)


def _analyzed(chunk: str, languages: Languages) -> _ChunkTerms:
    counted: list[str] = []
    forms: list[str] = []
    characters: list[str] = []
    for text, kind in words_of(chunk):
        word = casefolded(text[:LONGEST_TERM])
        match kind:
            case Kind.WORD:
                stems = _stems(word, languages)
                counted.append(stems[0])
                forms += stems[1:]
            case Kind.FORM:
                forms += _stems(word, languages)
            case Kind.PAIR:
                counted.append(word)
            case Kind.IDENTIFIER:
                forms.append(unaccented(word))
            case Kind.CHARACTER:
                characters.append(word)
    return _ChunkTerms(tuple(counted), tuple(forms), tuple(characters))


def _stems(word: str, languages: Languages) -> list[str]:
    return list(dict.fromkeys(unaccented(stem(word, language)) for language in languages))


_remembered = lru_cache(REMEMBERED_CHUNKS)(_analyzed)
