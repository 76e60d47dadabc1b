"""The words' side: BM25 over each message and the turns beside it. Pure.

Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

# What Postgres keeps of a term in one message: 255 positions at most.
_MOST = 255
# ts_rank of a single term, all weights 1 and no normalization: the sum of 1/j^2 up to its frequency, over pi^2/6
# (calc_rank_or in Postgres' tsrank.c). Strictly growing, so the frequency can be read back from it.
_RANK_OF_FREQUENCY = np.cumsum(1 / np.arange(1, _MOST + 1) ** 2) / 1.64493406685


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
        frequencies: Floats,
        lengths: Floats,
        rarities: Floats,
        average_length: float,
        beside: Indices,
    ) -> Floats:
        """Return the score of each message, shape (messages,), 0 and up.

        frequencies: of each of the query's terms in each message, shape (messages, terms). lengths: in terms, shape
        (messages,). rarities: how much each term counts, shape (terms,). beside: the pairs of turns that follow each
        other, shape (2, pairs).

        A term that a neighbor holds counts as a fraction of an occurrence, and a neighbor's length as the same
        fraction of its length, so that one term said three times in a row does not weigh more than three terms.
        """
        frequencies = self._with_neighbors(frequencies, beside)
        lengths = self._with_neighbors(lengths, beside)
        average = average_length * (1 + 2 * self.neighbor_share)
        held_back = self.k1 * (1 - self.b + self.b * lengths / average if average else np.ones_like(lengths))
        saturated = frequencies * (self.k1 + 1) / np.maximum(frequencies + held_back[:, None], np.finfo(float).tiny)
        scores: Floats = saturated @ rarities
        return scores

    def _with_neighbors(self, values: Floats, beside: Indices) -> Floats:
        sums = values.copy()
        before, after = beside
        np.add.at(sums, before, self.neighbor_share * values[after])
        np.add.at(sums, after, self.neighbor_share * values[before])
        return sums


def rarities(holders: Floats, messages: float) -> Floats:
    """How much a term says: the logarithm of how many messages there are for each one that holds it. Never negative."""
    rare: Floats = np.log1p((np.maximum(messages - holders, 0) + 0.5) / (holders + 0.5))
    return rare


def frequencies(ranks: Floats) -> Floats:
    """How often a term occurs, from its ts_rank (see above); 0 for 0, 255 at most."""
    nearest = np.searchsorted(_RANK_OF_FREQUENCY, ranks * (1 + 1e-6), side="right")
    return nearest.astype(np.float64)
