"""In which order candidates are returned. Pure: the clock is passed in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise, repeat
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from deployments.search.bm25 import Bm25, Floats, frequencies, rarities
from deployments.search.repetition import repetitions
from deployments.search.speakers import Speakers
from deployments.search.times import asks_when, tells_when, time_reference
from deployments.search_schemas import Weights
from deployments.storage.candidates import Candidate, Candidates

HALF_LIFE_DAYS = 30.0
SECONDS_PER_DAY = 86_400
# Where the answer is a time, a message that says when is a better guess, but no more than that; and a long message
# nearly always says some time or other.
TELLS_WHEN = 0.25
TELLING_CHARACTERS = 300


class Parts(NamedTuple):
    """What a score is made of: each part times its weight."""

    similarity: float
    words: float
    speaker: float
    time: float
    importance: float
    recency: float
    session: float
    repetition: float


class Ranked(NamedTuple):
    """A candidate, its score, and the parts that add up to it."""

    candidate: Candidate
    score: float
    parts: Parts


@dataclass(frozen=True)
class Question:
    """What is asked, and when."""

    text: str
    now: datetime


def rank(found: Candidates, question: Question, weights: Weights, bm25: Bm25, top_k: int) -> list[Ranked]:
    """The `top_k` best candidates by the weighted sum of their parts; ties by newest first.

    Similarity and words are on scales of their own, so both are stretched over the candidates before they are added:
    on LoCoMo that beats fusing reciprocal ranks by up to 5 points of recall. Which part brings what, on three sets:
    docs/decisions/0009-ranking.md. A message that is not embedded yet is taken to mean what its words say.
    """
    if not found.found:
        return []
    parts = _parts(found, question, weights, bm25).tolist()
    scores = [(sum(row), each.created_at, each.id) for row, each in zip(parts, found.found, strict=True)]
    best_first = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    contents = (found.found[place].content for place in best_first)
    shares = repetitions(contents) if weights.diversity else repeat(0.0)
    ranked: list[Ranked] = []
    new = 0
    # Once there are `top_k` that repeat nothing, none behind them can come before them any more.
    for place, said in zip(best_first, shares, strict=False):
        ranked.append(_ranked(found.found[place], parts[place], weights.diversity * said))
        new += not said
        if new == top_k:
            break
    return sorted(ranked, key=_order, reverse=True)[:top_k]


def scaled(values: Floats) -> Floats:
    """Stretch values over 0..1, the least to 0 and the greatest to 1; where all are equal, to 1 if above 0.

    What is missing (NaN) stays missing.
    """
    if np.isnan(values).all():
        return values
    least, greatest = np.nanmin(values), np.nanmax(values)
    if least == greatest:
        return np.where(np.isnan(values), values, 1.0 if greatest > 0 else 0.0)
    stretched: Floats = (values - least) / (greatest - least)
    return stretched


def recency(created_at: datetime, now: datetime) -> float:
    """1 for now, half as much with every 30 days of age. The future counts as now."""
    days = max((now - created_at).total_seconds(), 0) / SECONDS_PER_DAY
    return float(0.5 ** (days / HALF_LIFE_DAYS))


def _parts(found: Candidates, question: Question, weights: Weights, bm25: Bm25) -> Floats:
    """Shape (candidates, parts), but for repetition, the last, which is known only once there is an order."""
    candidates = found.found
    words = _words(found, bm25)
    similarity = scaled(np.array([np.nan if c.closeness is None else c.closeness for c in candidates]))
    parts = np.zeros((len(candidates), Parts._fields.index("repetition")))
    columns = {
        "similarity": weights.similarity * np.where(np.isnan(similarity), words, similarity),
        "words": weights.words * words,
        "speaker": weights.speaker * _speaker(candidates, question),
        "time": weights.time * _time(candidates, question),
        "importance": weights.importance * np.array([c.importance or 0.0 for c in candidates]),
        "recency": _recency(candidates, question.now, weights.recency),
    }
    for name, values in columns.items():
        parts[:, Parts._fields.index(name)] = values
    parts[:, Parts._fields.index("session")] = weights.session * _best_of_conversation(candidates, parts.sum(axis=1))
    return parts


def _words(found: Candidates, bm25: Bm25) -> Floats:
    """BM25 in proportion to the best of the candidates: 1 for it, 0 where none of the words are."""
    corpus = found.corpus
    held = frequencies(np.array([c.ranks for c in found.found], dtype=np.float64))
    scores = bm25.for_terms(int(np.count_nonzero(held.any(axis=0)))).scores(
        held,
        np.array([c.term_count for c in found.found], dtype=np.float64),
        rarities(np.array(corpus.holders, dtype=np.float64), corpus.messages),
        corpus.term_count / corpus.messages,
        _beside(found.found),
    )
    best = scores.max()
    return scores / best if best > 0 else scores


def _beside(candidates: Sequence[Candidate]) -> npt.NDArray[np.intp]:
    """Those of the candidates that follow each other in a conversation, by their places: shape (2, pairs)."""
    places = {candidate.id: place for place, candidate in enumerate(candidates)}
    pairs = {
        (places[before], places[after])
        for candidate in candidates
        for before, after in pairwise((candidate.previous, candidate.id, candidate.next))
        if before in places and after in places
    }
    return np.array(sorted(pairs), dtype=np.intp).reshape(-1, 2).T


def _speaker(candidates: Sequence[Candidate], question: Question) -> Floats:
    speakers = Speakers(question.text, {c.name for c in candidates})
    return np.array([speakers.spoke(c.role, c.name) for c in candidates], dtype=np.float64)


def _time(candidates: Sequence[Candidate], question: Question) -> Floats:
    if asked := time_reference(question.text, question.now):
        return np.array([asked.span.start <= c.created_at < asked.span.end for c in candidates], dtype=np.float64)
    if asks_when(question.text):
        return TELLS_WHEN * np.array([tells_when(c.content[:TELLING_CHARACTERS]) for c in candidates], dtype=np.float64)
    return np.zeros(len(candidates))


def _recency(candidates: Sequence[Candidate], now: datetime, weight: float) -> Floats:
    if not weight:
        return np.zeros(len(candidates))
    return weight * np.array([recency(candidate.created_at, now) for candidate in candidates])


def _best_of_conversation(candidates: Sequence[Candidate], scores: Floats) -> Floats:
    best: dict[str, float] = {}
    for candidate, score in zip(candidates, scores.tolist(), strict=True):
        best[candidate.conversation_id] = max(score, best.get(candidate.conversation_id, 0.0))
    return np.array([best[candidate.conversation_id] for candidate in candidates])


def _ranked(candidate: Candidate, parts: list[float], put_back: float) -> Ranked:
    """`put_back`: what is taken off for what a better hit says already."""
    whole = Parts._make([*parts, 0.0 - put_back])
    return Ranked(candidate, sum(whole), whole)


def _order(ranked: Ranked) -> tuple[float, datetime, UUID]:
    return ranked.score, ranked.candidate.created_at, ranked.candidate.id
