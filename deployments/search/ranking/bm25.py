"""The words' side: BM25 over each message and the turns beside it. Pure.

Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

# Cells of terms and messages that are scored at once.
_CELLS = 1_000_000
_TINY = float(np.finfo(float).tiny)

# What Postgres keeps of a term in one message: 255 positions at most.
_MOST = 255
# ts_rank of a single term, all weights 1 and no normalization: the sum of 1/j^2 up to its frequency, over pi^2/6
# (calc_rank_or in Postgres' tsrank.c). Strictly growing, so the frequency can be read back from it.
_RANK_OF_FREQUENCY = np.cumsum(1 / np.arange(1, _MOST + 1) ** 2) / 1.64493406685


class Postings(NamedTuple):
    """Which messages hold the terms of a query, and how often: three arrays of the same shape.

    terms: numbers of terms. places: of messages, each once for a term. frequencies: 1 and up.
    """

    terms: Places
    places: Places
    frequencies: Floats


@dataclass(frozen=True)
class Bm25:
    """`k1`: how soon a term's repetition stops to count. `b`: how much a long message is held back, 0 to 1.

    `neighbor_share`: how much a term counts that the turn before or after holds.
    """

    k1: float
    b: float
    neighbor_share: float

    def for_words(self, words: int) -> "Bm25":
        """Return the same for a query of so many words: neighbors lend to a question, and nothing to one word.

        So the turns beside an order's number are not taken for the order, while a long question has all of the share.
        """
        return replace(self, neighbor_share=self.neighbor_share * (1 - 1 / max(words, 1)))

    def scores(
        self,
        postings: Postings,
        rarities: Floats,
        lengths: Floats,
        average_length: float,
        previous: Places,
        following: Places,
    ) -> Floats:
        """Return the score of each message, shape (messages,), 0 and up.

        rarities: how much each term counts, shape (terms,). lengths: of the messages in terms, shape (messages,).
        previous, following: places of the turns beside each, -1 where there is none, shape (messages,).

        A term that a neighbor holds counts as a fraction of an occurrence, and a neighbor's length as the same
        fraction of its length, so that one term said three times in a row does not weigh more than three terms.
        """
        held_back = self._held_back(lengths, average_length, previous, following)
        scores = np.zeros(len(held_back))
        # In blocks of terms, so that the windows of a large tenant take no more than 8 MB.
        block = max(_CELLS // len(held_back), 1)
        for first in range(0, len(rarities), block):
            some = (
                (postings.terms >= first) & (postings.terms < first + block) if len(rarities) > block else slice(None)
            )
            windows = self._windows(
                Postings(postings.terms[some] - first, postings.places[some], postings.frequencies[some]),
                (min(block, len(rarities) - first), len(held_back)),
                previous,
                following,
            )
            # Most cells are 0. To find the others among booleans takes a third of the time.
            cells = np.flatnonzero(windows > 0)
            terms, places = np.divmod(cells, len(held_back))
            held = windows[cells]
            saturated = held * (self.k1 + 1) / np.maximum(held + held_back[places], _TINY)
            scores += np.bincount(places, rarities[first + terms] * saturated, len(scores))
        return scores[:-1]

    def _windows(self, postings: Postings, shape: tuple[int, int], previous: Places, following: Places) -> Floats:
        """Return how often each term occurs in each message and the turns beside it, shape (terms * cells,).

        shape: terms, and messages with a cell behind the last, to which what has no neighbor lends.
        """
        terms, cells = shape
        windows = np.zeros(terms * cells)
        row = postings.terms * cells
        windows[row + postings.places] = postings.frequencies
        if self.neighbor_share:
            lent = self.neighbor_share * postings.frequencies
            for beside in (previous[postings.places], following[postings.places]):
                windows[row + beside + (beside < 0) * cells] += lent
            windows[cells - 1 :: cells] = 0.0
        return windows

    def _held_back(self, lengths: Floats, average_length: float, previous: Places, following: Places) -> Floats:
        """Return how much of a term is half of its weight in each message, with a cell more for no message."""
        padded = np.append(lengths, 0.0)
        windows = padded.copy()
        if self.neighbor_share:
            windows[:-1] += self.neighbor_share * (padded[previous] + padded[following])
        average = average_length * (1 + 2 * self.neighbor_share)
        held_back: Floats = self.k1 * (1 - self.b + self.b * windows / average if average else np.ones_like(windows))
        return held_back


def rarities(holders: Floats, messages: float) -> Floats:
    """How much a term says: the logarithm of how many messages there are for each one that holds it. Never negative."""
    rare: Floats = np.log1p((np.maximum(messages - holders, 0) + 0.5) / (holders + 0.5))
    return rare


def frequencies(ranks: Floats) -> Floats:
    """How often a term occurs, from its ts_rank (see above); 0 for 0, 255 at most."""
    nearest = np.searchsorted(_RANK_OF_FREQUENCY, ranks * (1 + 1e-6), side="right")
    return nearest.astype(np.float64)
