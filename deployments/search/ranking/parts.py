"""Computes the parts of scores. Pure: the clock is passed in.

Every part is between 0 and 1 and comparable between queries, and so is the score, their weighted mean: no part is
normalized over the candidates. What each part contributes: docs/decisions/0029-scores.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deployments.analysis.query import AnalyzedQuery
from deployments.analysis.times import Span, asks_when
from deployments.epoch import micros
from deployments.schemas.search import Weights
from deployments.search.ranking.bm25 import Bm25, Floats, Places, rarities
from deployments.search.ranking.messages import Messages, Micros, QueryTermsHeld
from deployments.search.ranking.speakers import Speakers

HALF_LIFE_DAYS = 30.0
MICROS_PER_DAY = 86_400 * 1_000_000
# A message whose words hold this share of the query's weight gets nearly the full value. This steeper curve gains 2
# points of R@10 on LoCoMo over a straight line to the highest possible BM25 score.
FULL_WORDS = 0.8
# Below this share of the maximum of similarity, words and time, the other parts count in proportion, so a message
# unrelated to the query scores 0, however important it is.
RELEVANT = 0.15
# A date in a query often says when something happened that was said later, while "yesterday" says when it was said. At
# 0.2 LoCoMo loses 0.3 points of MRR to messages of that day.
DATED = 0.07
# If the query asks for a time, a message that mentions one is more likely the answer, but only slightly.
TELLS_WHEN = 0.03
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


# All but the last two, which depend on the order of the hits.
SCORED = Parts._fields[:-2]


@dataclass(frozen=True)
class Question:
    """A query's text, its analysis, and the time when it is asked."""

    text: str
    now: datetime
    query: AnalyzedQuery


class _Part(NamedTuple):
    """An unweighted part: a value from 0 to 1 for each message, and the maximum that this query allows."""

    weight: float
    values: Floats
    most: float = 1.0


@dataclass(frozen=True)
class Scored:
    """Scores of messages, shape (messages,), 0 to 1, and the parts that add up to them, by name."""

    scores: Floats
    _columns: Mapping[str, Floats]

    def parts(self, places: Places) -> Floats:
        """Return the parts of the messages at these places, shape (places, len(SCORED))."""
        zero = np.zeros(len(places))
        columns = (self._columns.get(name) for name in SCORED)
        return np.stack([zero if column is None else column[places] for column in columns], axis=1)


def scored(messages: Messages, terms: QueryTermsHeld, question: Question, weights: Weights, bm25: Bm25) -> Scored:
    """Return the score of each message and its parts."""
    content = _content(messages, terms, question, weights, bm25)
    further = _further(messages, question, weights)
    relevance = _relevance(content)
    columns: dict[str, Floats] = {name: part.weight * part.values for name, part in content.items()}
    for name, part in further.items():
        columns[name] = columns.get(name, 0.0) + relevance * part.weight * part.values
    total = max(sum(part.weight * part.most for part in (*content.values(), *further.values())), _TINY)
    if weights.session:
        best = _best_of_conversation(messages.conversations, _sum(columns.values()) / total)
        columns["session"] = weights.session * relevance * best
    shares = {name: column / (total + weights.session) for name, column in columns.items()}
    return Scored(_sum(shares.values()), shares)


def related(messages: Messages, terms: QueryTermsHeld, question: Question) -> npt.NDArray[np.bool_]:
    """Return which messages can be hits, shape (messages,).

    A message can be a hit if it has a comparable embedding, if it or a neighboring turn holds a word of the query, or
    if it is from the time that the query names. Stop words count only if no message holds another query word.
    """
    hits = ~np.isnan(messages.closeness)
    finding = terms.in_full if (terms.in_full & (terms.holders > 0)).any() else np.ones_like(terms.in_full)
    found = terms.postings.places[finding[terms.postings.terms]]
    for beside in (found, messages.previous[found], messages.following[found]):
        hits[beside[beside >= 0]] = True
    if question.query.span is not None:
        hits |= _during(question.query.span, messages)
    return hits


def _content(
    messages: Messages, terms: QueryTermsHeld, question: Question, weights: Weights, bm25: Bm25
) -> dict[str, _Part]:
    """Return the parts that make a message relevant. Without an embedding, `words` replaces `similarity`."""
    words = _word_coverage(messages, terms, question.query, bm25)
    similarity = np.where(np.isnan(messages.closeness), words, np.clip(messages.closeness, 0.0, 1.0))
    content = {"similarity": _Part(weights.similarity, similarity), "words": _Part(weights.words, words)}
    if question.query.span is not None:
        content["time"] = _said_in(question.query.span, messages, question.query, weights)
    return content


def _further(messages: Messages, question: Question, weights: Weights) -> dict[str, _Part]:
    """Return the parts that are scaled by a message's relevance."""
    further = {
        "speaker": _speaker(messages, question, weights),
        "importance": _Part(weights.importance, np.where(np.isnan(messages.importances), 0.0, messages.importances)),
    }
    if question.query.span is None and asks_when(question.text):
        further["time"] = _Part(weights.time, np.where(messages.telling, TELLS_WHEN, 0.0), most=TELLS_WHEN)
    if weights.recency:
        further["recency"] = _Part(weights.recency, recency(messages.created, question.now))
    return further


def _relevance(content: dict[str, _Part]) -> Floats:
    """Return the factor of the further parts for each message, 0 to 1; 1 where all content weights are 0."""
    most = sum(part.weight * part.most for part in content.values())
    values = _sum(part.weight * part.values for part in content.values())
    # Divide in this order: the smallest positive weight times RELEVANT underflows to 0.
    return np.minimum(values / most / RELEVANT, 1.0) if most else np.ones_like(values)


def _word_coverage(messages: Messages, terms: QueryTermsHeld, query: AnalyzedQuery, bm25: Bm25) -> Floats:
    """Return how much of the query's words each message holds, shape (messages,), 0 to 1.

    This is BM25 divided by the weight of all query words, including those that no message holds, through tanh.
    """
    weighed = terms.weights * rarities(terms.holders, terms.messages)
    held_in_full = {terms.terms[number] for number in np.flatnonzero(terms.present & terms.in_full).tolist()}
    scores = bm25.for_words(sum(not held_in_full.isdisjoint(word) for word in query.words)).scores(
        terms.postings,
        weighed,
        messages.lengths,
        terms.term_count / terms.messages,
        messages.previous,
        messages.following,
    )
    most = _weight_of_words(query, dict(zip(terms.terms, weighed.tolist(), strict=True)), terms.present.tolist())
    coverage: Floats = np.tanh(scores / max(FULL_WORDS * most, _TINY))
    return coverage


def _weight_of_words(query: AnalyzedQuery, weighed: dict[str, float], present: Sequence[bool]) -> float:
    """Return the weight of all query words, plus the identifiers that at least one message holds whole."""
    words = sum(max(weighed.get(term, 0.0) for term in word) for word in query.words)
    in_words = {term for word in query.words for term in word}
    forms = (
        weight for (term, weight), there in zip(weighed.items(), present, strict=True) if there and term not in in_words
    )
    return words + sum(forms)


def _said_in(span: Span, messages: Messages, query: AnalyzedQuery, weights: Weights) -> _Part:
    share = 1.0 if query.said_then else DATED
    return _Part(weights.time, np.where(_during(span, messages), share, 0.0), most=share)


def _during(span: Span, messages: Messages) -> npt.NDArray[np.bool_]:
    return (messages.created >= micros(span.start)) & (messages.created < micros(span.end))


def _speaker(messages: Messages, question: Question, weights: Weights) -> _Part:
    speakers = Speakers(question.text, {speaker.name for speaker in messages.speakers})
    spoke = np.array([speakers.spoke(*speaker) for speaker in messages.speakers], dtype=np.float64)
    return _Part(weights.speaker, spoke[messages.who], most=float(speakers.known))


def recency(created: Micros, now: datetime) -> Floats:
    """Return 1 for now, halved with every 30 days of age, shape (messages,). Future times count as now."""
    days = np.maximum(micros(now) - created, 0) / MICROS_PER_DAY
    halved: Floats = 0.5 ** (days / HALF_LIFE_DAYS)
    return halved


def _sum(columns: Iterable[Floats]) -> Floats:
    """Return the sum of at least one column. `np.sum` stacks them first and takes three times as long."""
    return reduce(np.add, columns)


def _best_of_conversation(conversations: Places, scores: Floats) -> Floats:
    best = np.zeros(conversations.max(initial=-1) + 1)
    np.maximum.at(best, conversations, scores)
    return best[conversations]
