"""Converts a text to its terms, in the same way for documents and queries. Pure functions."""

from collections import Counter
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from deployments.analysis.languages import Language, stem
from deployments.analysis.normalization import casefolded, normalized, unaccented
from deployments.analysis.read_part import read_part
from deployments.analysis.words import Kind, chunks, numbers, words_of

# Longer words are truncated. A key of a Postgres index holds 2,704 bytes, of which a tenant's name takes up to 1,020.
LONGEST_TERM = 200
REMEMBERED_CHUNKS = 50_000
LONGEST_REMEMBERED = 24

Languages: TypeAlias = tuple[Language, ...]


class Terms(NamedTuple):
    """Term counts of a text.

    `words`: the terms that count towards the text's length. `forms`: alternative terms of the same words.
    """

    words: dict[str, int]
    forms: dict[str, int]


def document_terms(text: str, languages: Languages) -> Terms:
    """Return the terms of a document, stemmed in each language. Only the first language's stems count as words."""
    plain = normalized(text)
    counted: list[str] = []
    forms: list[str] = [number[:LONGEST_TERM] for number in numbers(plain)]
    for chunk, times in Counter(chunks(plain)).items():
        terms = _terms_of(chunk, languages)
        counted += terms.words * times
        forms += terms.forms * times
        forms += terms.characters * times
    return Terms(Counter(counted), Counter(forms))


class QueryTerms(NamedTuple):
    """The distinct terms of a query in order of occurrence, and the alternative terms of each of its words."""

    terms: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]


def query_terms(text: str, languages: Languages) -> QueryTerms:
    """Return the terms of a query, stemmed in each language. Of a long query, its `read_part` is analysed."""
    # Normalisation expands one ligature to 18 characters, so its result is cut, too.
    plain = read_part(normalized(read_part(text)))
    terms: dict[str, None] = {}
    asked: dict[tuple[str, ...], None] = {}
    for chunk in chunks(plain):
        found = _terms_of(chunk, languages)
        terms.update(dict.fromkeys((*found.words, *found.forms)))
        asked.update(dict.fromkeys(found.stems))
    terms.update(dict.fromkeys(number[:LONGEST_TERM] for number in numbers(plain)))
    return QueryTerms(tuple(terms), tuple(asked))


def word_terms(word: str, languages: Languages) -> tuple[str, ...]:
    """Return the stems of one word in each language."""
    return tuple(term for stems in _terms_of(normalized(word), languages).stems for term in stems)


class _ChunkTerms(NamedTuple):
    """The terms of a chunk. `stems`: of each word, one per language: the first is in `words`, the others in `forms`."""

    words: tuple[str, ...]
    stems: tuple[tuple[str, ...], ...]
    forms: tuple[str, ...]
    characters: tuple[str, ...]


def _terms_of(chunk: str, languages: Languages) -> _ChunkTerms:
    """Return a chunk's terms. A cache makes this 25 us for each message instead of 160: most words repeat."""
    return _cached_terms(chunk, languages) if len(chunk) <= LONGEST_REMEMBERED else _analyzed(chunk, languages)


def _analyzed(chunk: str, languages: Languages) -> _ChunkTerms:
    stems: list[tuple[str, ...]] = []
    forms: list[str] = []
    characters: list[str] = []
    for text, kind in words_of(chunk):
        word = casefolded(text)[:LONGEST_TERM]
        match kind:
            case Kind.WORD:
                stems.append(_stems(word, languages))
            case Kind.PAIR:
                stems.append((word,))
            case Kind.FORM:
                forms += _stems(word, languages)
            case Kind.IDENTIFIER:
                forms.append(unaccented(word)[:LONGEST_TERM])
            case Kind.CHARACTER:
                characters.append(word)
    stems = [each for each in stems if each]
    others = [stem for each in stems for stem in each[1:]]
    return _ChunkTerms(tuple(each[0] for each in stems), tuple(stems), (*forms, *others), tuple(characters))


def _stems(word: str, languages: Languages) -> tuple[str, ...]:
    """Return the distinct stems of a word, none if it consists only of accents."""
    stems = dict.fromkeys(unaccented(stem(word, language))[:LONGEST_TERM] for language in languages)
    return tuple(filter(None, stems))


_cached_terms = lru_cache(REMEMBERED_CHUNKS)(_analyzed)
