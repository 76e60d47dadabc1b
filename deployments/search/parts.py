"""Compute the parts of scores. Pure: the clock is passed in.

Every part is between 0 and 1 and means the same for every query, so the score, their weighted mean, does too: nothing
is stretched over the candidates. What each brings: docs/decisions/0029-scores.md.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deployments.search.analysis.query import AnalyzedQuery
from deployments.search.bm25 import Bm25, Floats, frequencies, rarities
from deployments.search.speakers import Speakers
from deployments.search.times import Span, asks_when, tells_when
from deployments.search_schemas import Weights
from deployments.storage.candidates import Candidate, Candidates

HALF_LIFE_DAYS = 30.0
SECONDS_PER_DAY = 86_400
# The share of its query's weight at which a message's words are near their full value. The steeper curve is worth 2
# points of R@10 on LoCoMo against a straight line to the highest score that BM25 could give.
FULL_WORDS = 0.8
# Below this share of the most that similarity, words and time can come to, the other parts count in proportion: what
# has nothing to do with the query scores 0, however important it is.
RELEVANT = 0.15
# A date in a query is often when something happened that was said later; "yesterday" is when it was said. At 0.2 LoCoMo
# loses 0.3 points of MRR to messages of the day.
DATED = 0.07
# Where the answer is a time, a message that says when is a better guess, but no more than that; and a long message
# nearly always says some time or other.
TELLS_WHEN = 0.03
TELLING_CHARACTERS = 300
_TINY = float(np.finfo(float).tiny)


class Parts(NamedTuple):
    """Parts of a score: each is a value from 0 to 1 times its share of the weights. Their sum is the score."""

    similarity: float
    words: float
    speaker: float
    time: float
    importance: float
    recency: float
    session: float
    newer: float
    repetition: float


# The last two depend on the order of the hits.
SCORED = Parts._fields[:-2]


@dataclass(frozen=True)
class Question:
    """A query's text, its analysis, and the time at which it is asked."""

    text: str
    now: datetime
    query: AnalyzedQuery


class _Part(NamedTuple):
    """An unweighted part: a value from 0 to 1 for each candidate, and the highest value that this query allows."""

    weight: float
    values: Floats
    most: float = 1.0


def scored_parts(found: Candidates, ranks: Floats, question: Question, weights: Weights, bm25: Bm25) -> Floats:
    """Return the parts of each candidate's score, shape (candidates, len(SCORED)). Rows add up to 0..1.

    `ranks`: see `term_ranks`.
    """
    content = _content(found, ranks, question, weights, bm25)
    further = _further(found.found, question, weights)
    relevance = _relevance(content)
    columns: defaultdict[str, Floats] = defaultdict(lambda: np.zeros(len(found.found)))
    for name, part in content.items():
        columns[name] += part.weight * part.values
    for name, part in further.items():
        columns[name] += relevance * part.weight * part.values
    total = max(sum(part.weight * part.most for part in (*content.values(), *further.values())), _TINY)
    scores = np.sum(list(columns.values()), axis=0) / total
    columns["session"] = weights.session * relevance * _best_of_conversation(found.found, scores)
    parts: Floats = np.stack([columns[name] for name in SCORED], axis=1) / (total + weights.session)
    return parts


def _content(found: Candidates, ranks: Floats, question: Question, weights: Weights, bm25: Bm25) -> dict[str, _Part]:
    """Return the parts that make a message relevant. Without an embedding, its words stand for its similarity."""
    words = _word_coverage(found, ranks, question.query, bm25)
    closeness = np.array([np.nan if c.closeness is None else c.closeness for c in found.found])
    similarity = np.where(np.isnan(closeness), words, np.clip(closeness, 0.0, 1.0))
    content = {"similarity": _Part(weights.similarity, similarity), "words": _Part(weights.words, words)}
    if question.query.span is not None:
        content["time"] = _said_in(question.query.span, found.found, question.query, weights)
    return content


def _further(candidates: Sequence[Candidate], question: Question, weights: Weights) -> dict[str, _Part]:
    """Return the parts that count only as far as a message is relevant."""
    further = {
        "speaker": _speaker(candidates, question, weights),
        "importance": _Part(weights.importance, np.array([c.importance or 0.0 for c in candidates])),
    }
    if question.query.span is None and asks_when(question.text):
        further["time"] = _tells_when(candidates, weights)
    if weights.recency:
        ages = np.array([recency(candidate.created_at, question.now) for candidate in candidates])
        further["recency"] = _Part(weights.recency, ages)
    return further


def _relevance(content: dict[str, _Part]) -> Floats:
    """Return the factor of the further parts for each candidate, 0 to 1; 1 where all content weights are 0."""
    most = sum(part.weight * part.most for part in content.values())
    values: Floats = np.sum([part.weight * part.values for part in content.values()], axis=0)
    # In this order: the product of the least weight that there is and RELEVANT is 0.
    return np.minimum(values / most / RELEVANT, 1.0) if most else np.ones_like(values)


def _word_coverage(found: Candidates, ranks: Floats, query: AnalyzedQuery, bm25: Bm25) -> Floats:
    """Return how much of the query's words each candidate holds, shape (candidates,), 0 to 1.

    BM25 as a share of what all of the query's words weigh, those included that no message holds.
    """
    corpus = found.corpus
    held = frequencies(ranks)
    weights = np.array([query.weight_of[term] for term in corpus.terms])
    weighed = weights * rarities(np.array(corpus.holders, dtype=np.float64), corpus.messages)
    present: npt.NDArray[np.bool_] = held.max(axis=0, initial=0.0) > 0
    held_in_full = {term for term, there in zip(corpus.terms, present & (weights == 1.0), strict=True) if there}
    scores = bm25.for_words(sum(not held_in_full.isdisjoint(word) for word in query.words)).scores(
        held,
        np.array([c.term_count for c in found.found], dtype=np.float64),
        weighed,
        corpus.term_count / corpus.messages,
        _beside(found.found),
    )
    most = _weight_of_words(query, dict(zip(corpus.terms, weighed.tolist(), strict=True)), present.tolist())
    coverage: Floats = np.tanh(scores / max(FULL_WORDS * most, _TINY))
    return coverage


def term_ranks(found: Candidates) -> Floats:
    """Return the ts_rank of each of the query's terms in each candidate, shape (candidates, terms)."""
    return np.array([c.ranks for c in found.found], dtype=np.float64).reshape(len(found.found), -1)


def _weight_of_words(query: AnalyzedQuery, weighed: dict[str, float], present: Sequence[bool]) -> float:
    """Return the weight of all words of a query, and of the identifiers that some candidate holds whole."""
    words = sum(max(weighed.get(term, 0.0) for term in word) for word in query.words)
    in_words = {term for word in query.words for term in word}
    forms = (
        weight for (term, weight), there in zip(weighed.items(), present, strict=True) if there and term not in in_words
    )
    return words + sum(forms)


def _beside(candidates: Sequence[Candidate]) -> npt.NDArray[np.intp]:
    """Return which candidates follow each other in a conversation, by their places: shape (2, pairs)."""
    places = {candidate.id: place for place, candidate in enumerate(candidates)}
    pairs: set[tuple[int, int]] = set()
    for place, candidate in enumerate(candidates):
        # One look-up for each turn: hashing ids is what takes the time here.
        before = None if candidate.previous is None else places.get(candidate.previous)
        after = None if candidate.next is None else places.get(candidate.next)
        if before is not None:
            pairs.add((before, place))
        if after is not None:
            pairs.add((place, after))
    return np.array(sorted(pairs), dtype=np.intp).reshape(-1, 2).T


def _said_in(span: Span, candidates: Sequence[Candidate], query: AnalyzedQuery, weights: Weights) -> _Part:
    start, end = span
    share = 1.0 if query.said_then else DATED
    values = share * np.array([start <= c.created_at < end for c in candidates], dtype=np.float64)
    return _Part(weights.time, values, most=share)


def _tells_when(candidates: Sequence[Candidate], weights: Weights) -> _Part:
    tells = np.array([tells_when(c.content[:TELLING_CHARACTERS]) for c in candidates], dtype=np.float64)
    return _Part(weights.time, TELLS_WHEN * tells, most=TELLS_WHEN)


def _speaker(candidates: Sequence[Candidate], question: Question, weights: Weights) -> _Part:
    speakers = Speakers(question.text, {c.name for c in candidates})
    spoke = np.array([speakers.spoke(c.role, c.name) for c in candidates], dtype=np.float64)
    return _Part(weights.speaker, spoke, most=float(speakers.known))


def recency(created_at: datetime, now: datetime) -> float:
    """Return 1 for now, and half as much with every 30 days of age. The future counts as now."""
    days = max((now - created_at).total_seconds(), 0) / SECONDS_PER_DAY
    return float(0.5 ** (days / HALF_LIFE_DAYS))


def _best_of_conversation(candidates: Sequence[Candidate], scores: Floats) -> Floats:
    best: dict[str, float] = {}
    for candidate, score in zip(candidates, scores.tolist(), strict=True):
        best[candidate.conversation_id] = max(score, best.get(candidate.conversation_id, 0.0))
    return np.array([best[candidate.conversation_id] for candidate in candidates])
