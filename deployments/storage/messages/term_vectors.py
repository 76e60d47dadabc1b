"""Terms as a tsvector, the type of Postgres' GIN index and ts_rank. Postgres' own parser is not used."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from deployments.analysis.terms import Terms

# Postgres' maximum number of positions of a lexeme.
MOST_POSITIONS = 255
# Postgres' maximum size of a tsvector's lexemes and positions.
MOST_BYTES = 2**20 - 1
# The size of the number of positions, with a byte of padding before it; then of each position.
_POSITIONS_BYTES, _POSITION_BYTES = 3, 2
# Most terms occur a few times, so the text of their positions is cached.
REMEMBERED_COUNTS = 1_024
_ESCAPED = str.maketrans({"'": "''", "\\": "\\\\"})


class TermVector(NamedTuple):
    """The literal of a tsvector, and its number of words, as Postgres' `term_count` returns it."""

    literal: str
    words: int


def term_vector(terms: Terms) -> TermVector:
    """Return the terms as a tsvector.

    A term has one position for each occurrence, at most 255; the values mean nothing. Positions of words have the
    weight D and those of forms C, so that `term_count` counts only words. A word that occurs once has no position. If
    the terms do not fit into a tsvector, the first are kept, and forms only if words leave room.
    """
    counted = list(_counted(terms))
    literal = " ".join(_lexeme(*each) for each in counted)
    # Plus a space for the last lexeme, a literal is at least as long as its tsvector, in bytes.
    if len(literal.encode()) >= MOST_BYTES:
        counted = list(_fitting(counted))
        literal = " ".join(_lexeme(*each) for each in counted)
    return TermVector(literal, sum(words for _, words, _ in counted))


def _counted(terms: Terms) -> Iterator[tuple[str, int, int]]:
    """Yield each term with its numbers of positions as a word and as a form, words first."""
    for term, times in terms.words.items():
        words = min(times, MOST_POSITIONS)
        yield term, words, min(terms.forms.get(term, 0), MOST_POSITIONS - words)
    for term, times in terms.forms.items():
        if term not in terms.words:
            yield term, 0, min(times, MOST_POSITIONS)


def _fitting(counted: Iterable[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    """Yield the first terms that fit into a tsvector."""
    room = MOST_BYTES
    for each in counted:
        room -= _size(*each)
        if room < 0:
            return
        yield each


def _size(term: str, words: int, forms: int) -> int:
    """Return an upper bound of a lexeme's size in bytes."""
    size = len(term.encode())
    return size if (words, forms) == (1, 0) else size + _POSITIONS_BYTES + _POSITION_BYTES * (words + forms)


def _lexeme(term: str, words: int, forms: int) -> str:
    quoted = term if term.isalnum() else term.translate(_ESCAPED)
    return f"'{quoted}'{_positions(words, forms)}"


@lru_cache(REMEMBERED_COUNTS)
def _positions(words: int, forms: int) -> str:
    if (words, forms) == (1, 0):
        return ""
    return f":{','.join([*map(str, range(1, words + 1)), *(f'{n}C' for n in range(words + 1, words + forms + 1))])}"
