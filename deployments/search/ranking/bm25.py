"""BM25 over each message and its neighboring turns. Pure functions.

Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

# Cells (terms times messages) scored in one block.
_CELLS = 1_000_000
_TINY = float(np.finfo(float).tiny)

# Postgres keeps at most 255 positions of a term in one message.
_MOST = 255
# ts_rank of a single term with all weights 1 and no normalization: the sum of 1/j^2 up to its frequency, over pi^2/6
# (calc_rank_or in Postgres' tsrank.c). It is strictly increasing, so the frequency can be computed back from it.
_RANK_OF_FREQUENCY = np.cumsum(1 / np.arange(1, _MOST + 1) ** 2) / 1.64493406685


class Postings(NamedTuple):
    """Which messages hold the terms of a query, and how often: three arrays of the same shape.

    terms: term numbers. places: message indices, each at most once per term. frequencies: 1 and up.
    """

    terms: Places
    places: Places
    frequencies: Floats


@dataclass(frozen=True)
class Bm25:
    """BM25 with its parameters. `k1`: term frequency saturation. `b`: length normalization, 0 to 1.

    `neighbor_share`: the weight of a term occurrence in the turn before or after.
    """

    k1: float
    b: float
    neighbor_share: float

    def for_words(self, words: int) -> "Bm25":
        """Return a copy for a query of this many words. `neighbor_share` grows with them, from 0 for a single word.

        So the turns beside a message with an order number do not match the number, while a long question gets nearly
        the full share.
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

        rarities: the weight of each term, shape (terms,). lengths: of the messages, in terms, shape (messages,).
        previous, following: indices of the neighboring turns or -1, shape (messages,).

        A neighbor's term occurrences and its length count with the fraction `neighbor_share`, so that one term in three
        successive turns does not outweigh three different terms.
        """
        held_back = self._held_back(lengths, average_length, previous, following)
        scores = np.zeros(len(held_back))
        # Process terms in blocks, so that the windows of a large tenant take at most 8 MB.
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
            # Most cells are 0. Searching booleans for the others takes a third of the time.
            cells = np.flatnonzero(windows > 0)
            terms, places = np.divmod(cells, len(held_back))
            held = windows[cells]
            saturated = held * (self.k1 + 1) / np.maximum(held + held_back[places], _TINY)
            scores += np.bincount(places, rarities[first + terms] * saturated, len(scores))
        return scores[:-1]

    def _windows(self, postings: Postings, shape: tuple[int, int], previous: Places, following: Places) -> Floats:
        """Return the frequency of each term in each message and its neighbors, shape (terms * cells,).

        shape: (terms, messages + 1). The last cell of a row absorbs the share of messages without a neighbor.
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
        """Return BM25's length-normalized k1, the frequency at half saturation, shape (messages + 1,)."""
        padded = np.append(lengths, 0.0)
        windows = padded.copy()
        if self.neighbor_share:
            windows[:-1] += self.neighbor_share * (padded[previous] + padded[following])
        average = average_length * (1 + 2 * self.neighbor_share)
        held_back: Floats = self.k1 * (1 - self.b + self.b * windows / average if average else np.ones_like(windows))
        return held_back


def rarities(holders: Floats, messages: float) -> Floats:
    """Return the inverse document frequency of each term: log(1 + (N - n + 0.5) / (n + 0.5)). Never negative."""
    rare: Floats = np.log1p((np.maximum(messages - holders, 0) + 0.5) / (holders + 0.5))
    return rare


def frequencies(ranks: Floats) -> Floats:
    """Return term frequencies from ts_ranks (see `_RANK_OF_FREQUENCY`), 0 for rank 0, at most 255."""
    nearest = np.searchsorted(_RANK_OF_FREQUENCY, ranks * (1 + 1e-6), side="right")
    return nearest.astype(np.float64)
