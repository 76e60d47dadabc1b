"""An inverted index from terms to messages, as sorted arrays."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Keys: TypeAlias = npt.NDArray[np.int64]
Slots: TypeAlias = npt.NDArray[np.int32]
Frequencies: TypeAlias = npt.NDArray[np.uint8]

# A tsvector as text: 'term' or 'term':1,2,3C, with quotes and backslashes doubled.
_LEXEME = re.compile(r"'((?:[^']|'')*)'(?::(\S+))?")
# A new segment is merged with the previous one unless that is more than twice as large. So the number of segments, and
# the number of copies of each posting, is logarithmic in the number of postings.
_GROWTH = 2


class TermCounts(NamedTuple):
    """Hashes of one message's terms, and the frequency of each, at most 255."""

    keys: list[int]
    frequencies: list[int]


def term_counts(literal: str) -> TermCounts:
    """Parse the text of a tsvector and return its term counts. A term without positions counts once."""
    found = _LEXEME.findall(literal)
    # This function takes half of a tenant's load time, so the rare escapes are checked once per text.
    if "''" in literal or "\\" in literal:
        found = [(term.replace("''", "'").replace("\\\\", "\\"), positions) for term, positions in found]
    keys = [hash(term) for term, _ in found]
    return TermCounts(keys, [min(positions.count(",") + 1, 255) for _, positions in found])


@dataclass(frozen=True)
class _Segment:
    """Postings sorted by term: those of `keys[n]` are at `starts[n]` up to `starts[n + 1]`, exclusive."""

    keys: Keys
    starts: npt.NDArray[np.int32]
    slots: Slots
    frequencies: Frequencies

    @classmethod
    def of(cls, keys: Keys, slots: Slots, frequencies: Frequencies) -> "_Segment":
        """Return a segment of postings, given as three arrays of the same shape."""
        order = np.argsort(keys, kind="stable")
        sorted_keys = keys[order]
        distinct, starts = np.unique(sorted_keys, return_index=True)
        return cls(distinct, np.append(starts, len(keys)).astype(np.int32), slots[order], frequencies[order])

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.starts.nbytes + self.slots.nbytes + self.frequencies.nbytes

    def unsorted(self) -> tuple[Keys, Slots, Frequencies]:
        """Return the keys, slots and frequencies of all postings, sorted by key."""
        return np.repeat(self.keys, np.diff(self.starts)), self.slots, self.frequencies

    def find(self, keys: Keys) -> "Found":
        """Return the postings of `keys`. A key's number is its index in `keys`."""
        if not len(self.keys):
            return _NOTHING_FOUND
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        starts = self.starts[places]
        counts = np.where(self.keys[places] == keys, self.starts[places + 1] - starts, 0)
        ends = np.cumsum(counts)
        at = np.arange(ends[-1]) + np.repeat(starts - ends + counts, counts)
        return Found(np.repeat(np.arange(len(keys)), counts), self.slots[at], self.frequencies[at])


class Found(NamedTuple):
    """Postings of the queried terms, as three arrays of the same shape: term number, slot, frequency."""

    numbers: npt.NDArray[np.intp]
    slots: Slots
    frequencies: Frequencies


_NOTHING_FOUND = Found(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int32), np.empty(0, dtype=np.uint8))


class Postings:
    """An inverted index that grows by segments, like a log-structured merge tree (O'Neil et al., 1996)."""

    def __init__(self) -> None:
        self._segments: list[_Segment] = []

    @property
    def nbytes(self) -> int:
        """Return the size of the arrays in bytes."""
        return sum(segment.nbytes for segment in self._segments)

    def add(self, slots: Sequence[int], terms: Sequence[TermCounts]) -> None:
        """Add new messages with their terms."""
        segment = _Segment.of(
            np.array([key for each in terms for key in each.keys], dtype=np.int64),
            np.repeat(np.array(slots, dtype=np.int32), [len(each.keys) for each in terms]),
            np.array([times for each in terms for times in each.frequencies], dtype=np.uint8),
        )
        if not len(segment.slots):
            return
        while self._segments and len(self._segments[-1].slots) <= _GROWTH * len(segment.slots):
            segment = _merged(self._segments.pop(), segment)
        self._segments.append(segment)

    def find(self, terms: Sequence[str]) -> Found:
        """Return the postings of `terms`. A term's number is its index in `terms`."""
        if not terms or not self._segments:
            return _NOTHING_FOUND
        keys = np.array([hash(term) for term in terms], dtype=np.int64)
        found = [segment.find(keys) for segment in self._segments]
        return found[0] if len(found) == 1 else Found(*map(np.concatenate, zip(*found, strict=True)))

    def renumber(self, new_slots: Slots) -> None:
        """Renumber all slots. `new_slots`: new number of each slot, -1 to drop it, shape (slots,)."""
        if self._segments:
            merged = self._segments.pop()
            while self._segments:
                merged = _merged(self._segments.pop(), merged)
            keys, slots, frequencies = merged.unsorted()
            kept = new_slots[slots] >= 0
            self._segments = [_Segment.of(keys[kept], new_slots[slots[kept]], frequencies[kept])]


def _merged(one: _Segment, other: _Segment) -> _Segment:
    (keys, slots, times), (more_keys, more_slots, more_times) = one.unsorted(), other.unsorted()
    return _Segment.of(
        np.concatenate((keys, more_keys)), np.concatenate((slots, more_slots)), np.concatenate((times, more_times))
    )
