"""Terms as a tsvector, the type that Postgres' GIN index and ts_rank work on. Its own parser is never asked."""

from collections.abc import Iterator

from deployments.search.analysis.terms import Terms

# Postgres keeps no more positions of a lexeme.
MOST_POSITIONS = 255
# What the lexemes and positions of a tsvector may take together.
MOST_BYTES = 2**20 - 1
# The number of positions, and a byte of padding before it; then each position.
_POSITIONS_BYTES, _POSITION_BYTES = 3, 2
_ESCAPED = str.maketrans({"'": "''", "\\": "\\\\"})


def term_vector(terms: Terms) -> str:
    """Return the terms as the literal of a tsvector.

    A term has as many positions as occurrences, at most 255; where they stand says nothing. Those of words have the
    weight D, those of forms C, so that `term_count` counts words alone. A word that occurs once has no position.
    Of terms that are too many for a tsvector the first are kept, forms only where words leave room.
    """
    return " ".join(_lexemes(terms))


def _lexemes(terms: Terms) -> Iterator[str]:
    room = MOST_BYTES
    for term, times in terms.words.items():
        words = min(times, MOST_POSITIONS)
        forms = min(terms.forms.get(term, 0), MOST_POSITIONS - words)
        room -= _size(term, words, forms)
        if room < 0:
            return
        yield _lexeme(term, words, forms)
    for term, times in terms.forms.items():
        if term in terms.words:
            continue
        forms = min(times, MOST_POSITIONS)
        room -= _size(term, 0, forms)
        if room < 0:
            return
        yield _lexeme(term, 0, forms)


def _size(term: str, words: int, forms: int) -> int:
    """Return an upper bound of what a lexeme takes, in bytes."""
    size = len(term.encode())
    return size if (words, forms) == (1, 0) else size + _POSITIONS_BYTES + _POSITION_BYTES * (words + forms)


def _lexeme(term: str, words: int, forms: int) -> str:
    quoted = f"'{term.translate(_ESCAPED)}'"
    if (words, forms) == (1, 0):
        return quoted
    positions = [*map(str, range(1, words + 1)), *(f"{place}C" for place in range(words + 1, words + forms + 1))]
    return f"{quoted}:{','.join(positions)}"
