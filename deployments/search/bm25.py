"""The words' side: BM25 over each message and the turns beside it. Pure.

Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_TINY = float(np.finfo(float).tiny)

# What Postgres keeps of a term in one message: 255 positions at most.
_MOST = 255
# ts_rank of a single term, all weights 1 and no normalization: the sum of 1/j^2 up to its frequency, over pi^2/6
# (calc_rank_or in Postgres' tsrank.c). Strictly growing, so the frequency can be read back from it.
_RANK_OF_FREQUENCY = np.cumsum(1 / np.arange(1, _MOST + 1) ** 2) / 1.64493406685


class Posting(NamedTuple):
    """Which messages hold a term, each once, and how often: two arrays of the shape (holders,)."""

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
        postings: Sequence[Posting],
        rarities: Floats,
        lengths: Floats,
        average_length: float,
        previous: Places,
        following: Places,
    ) -> Floats:
        """Return the score of each message, shape (messages,), 0 and up.

        postings: of each of the query's terms. rarities: how much each term counts, shape (terms,). lengths: of the
        messages in terms, shape (messages,). previous, following: places of the turns beside each, -1 where there is
        none, shape (messages,).

        A term that a neighbor holds counts as a fraction of an occurrence, and a neighbor's length as the same
        fraction of its length, so that one term said three times in a row does not weigh more than three terms.
        """
        held_back = self._held_back(lengths, average_length, previous, following)
        # What has no neighbor lends to the cell behind the last, which nobody reads.
        scores, window = np.zeros(len(lengths) + 1), np.zeros(len(lengths) + 1)
        for (places, frequencies), rarity in zip(postings, rarities.tolist(), strict=True):
            touched = self._lend(window, places, frequencies, previous, following)
            held = window[touched]
            window[touched] = 0.0
            # A place that is touched twice is given the same value twice.
            scores[touched] += rarity * (self.k1 + 1) * held / np.maximum(held + held_back[touched], _TINY)
        return scores[:-1]

    def _lend(self, window: Floats, places: Places, frequencies: Floats, previous: Places, following: Places) -> Places:
        """Add a term's frequencies to a window of zeros, and return the places that it has reached."""
        window[places] = frequencies
        if not self.neighbor_share:
            return places
        lent, before, after = self.neighbor_share * frequencies, previous[places], following[places]
        window[before] += lent
        window[after] += lent
        return np.concatenate((places, before[before >= 0], after[after >= 0]))

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
