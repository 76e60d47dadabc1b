"""Orders scored messages and selects the hits. Pure: the clock is passed in."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import compress
from typing import NamedTuple
from uuid import UUID

import numpy as np

from deployments.schemas.candidates import Candidate, Candidates, Hit
from deployments.schemas.search import Weights
from deployments.search.ranking.bm25 import Bm25, Places
from deployments.search.ranking.messages import QueryTermsHeld, messages_of, terms_of
from deployments.search.ranking.parts import Parts, Question, Scored, scored
from deployments.search.ranking.successions import newest_first
from deployments.search.ranking.versions import Versions

# How many messages beyond the first `top_k` are examined for newer versions of them.
LOOKED_BEYOND = 10
_BITS = 64


class Ranked(NamedTuple):
    """A hit, its score, and the parts that add up to it."""

    candidate: Hit
    score: float
    parts: Parts


class Floors(NamedTuple):
    """Minimum score of a hit, and minimum similarity of an embedded one."""

    score: float = 0.0
    similarity: float = -1.0


class Best(NamedTuple):
    """Scores, parts and query words of the best messages, best first.

    parts: in the order of SCORED. subjects: the query terms that each message holds as a bit set, without stop words.
    """

    scores: Sequence[float]
    parts: Sequence[Sequence[float]]
    subjects: Sequence[int]

    def at(self, places: Sequence[int]) -> "Best":
        """Return the values of only these messages."""
        return Best(
            [self.scores[place] for place in places],
            [self.parts[place] for place in places],
            [self.subjects[place] for place in places],
        )


def best_candidates(
    found: Candidates, question: Question, weights: Weights, bm25: Bm25, least_similarity: float
) -> tuple[Best, list[Candidate]]:
    """Return the candidates, best first, ties newest first. Less similar ones are dropped."""
    if not found.found:
        return Best([], [], []), []
    messages, terms = messages_of(found.found), terms_of(found, question.query)
    scores = scored(messages, terms, question, weights, bm25)
    keys = [(score, each.created_at, each.id) for score, each in zip(scores.scores.tolist(), found.found, strict=True)]
    near = [c.similarity is None or not c.similarity < least_similarity for c in found.found]
    places = sorted(compress(range(len(keys)), near), key=keys.__getitem__, reverse=True)
    best = best_of(np.array(places, dtype=np.intp), scores, terms)
    return best, [found.found[place] for place in places]


def best_of(places: Places, scores: Scored, terms: QueryTermsHeld) -> Best:
    """Return the values that ordering needs for the messages at `places`, which are best first."""
    parts = scores.parts(places)
    return Best(parts.sum(axis=1).tolist(), parts.tolist(), _subjects(places, len(scores.scores), terms))


def versions_of(best: Best, hits: Sequence[Hit], top_k: int) -> Versions:
    """Group the best messages by text, until `top_k + LOOKED_BEYOND` distinct texts are found."""
    versions = Versions()
    for place, (hit, score, subject) in enumerate(zip(hits, best.scores, best.subjects, strict=True)):
        versions.add(place, hit, score, subject)
        if versions.distinct == top_k + LOOKED_BEYOND:
            break
    return versions


def ordered(
    best: Best,
    hits: Sequence[Hit],
    versions: Versions,
    weights: Weights,
    top_k: int,
    floors: Floors,
    successors: Mapping[UUID, UUID] | None = None,
) -> list[Ranked]:
    """Return the `top_k` best by the weighted mean of their parts, ties newest first. `hits`: those of `best`.

    Among hits that say nearly the same about the same subject, the newer comes first. A hit with the same text as a
    newer one is ranked down. A fact comes before the facts it supersedes (`successors`: see `newest_first`).
    """
    ranked = [
        _ranked(hits[place], best.parts[place], best.scores[place], weights, version_score=score, repeats=repeats)
        for place, score, repeats in versions.placed()
    ]
    best_first = newest_first(sorted(ranked, key=_order, reverse=True), successors or {}, _id, _with_score)
    return [each for each in best_first if each.score >= floors.score][:top_k]


def _subjects(places: Places, messages: int, terms: QueryTermsHeld) -> list[int]:
    """Return the query terms that each message itself holds, as a bit set without stop words.

    `messages`: the number of all places. Terms beyond the 64th share a bit, but a query has at most 32 held terms.
    """
    numbers = np.minimum(np.cumsum(terms.in_full) - 1, _BITS - 1).astype(np.uint64)
    bits = np.where(terms.in_full, np.uint64(1) << numbers, np.uint64(0))
    order = np.full(messages, -1, dtype=np.intp)
    order[places] = np.arange(len(places))
    at = order[terms.postings.places]
    there = at >= 0
    subjects = np.zeros(len(places), dtype=np.uint64)
    np.bitwise_or.at(subjects, at[there], bits[terms.postings.terms[there]])
    held: list[int] = subjects.tolist()
    return held


def _ranked(
    hit: Hit, parts: Sequence[float], own: float, weights: Weights, *, version_score: float, repeats: bool
) -> Ranked:
    """Return the hit with its final score.

    `own`: the sum of its parts. `version_score`: its score after its versions are ordered by age. `repeats`: whether a
    newer hit has the same text.
    """
    newer = min(weights.newer, 1.0) * (version_score - own)
    repetition = -min(weights.diversity, 1.0) * (own + newer) if repeats else 0.0
    return Ranked(hit, min(max(own + newer + repetition, 0.0), 1.0), Parts._make([*parts, newer, repetition]))


def _id(ranked: Ranked) -> UUID:
    return ranked.candidate.id


def _with_score(ranked: Ranked, score: float) -> Ranked:
    parts = ranked.parts
    return ranked._replace(score=score, parts=parts._replace(newer=parts.newer + score - ranked.score))


def _order(ranked: Ranked) -> tuple[float, datetime, UUID]:
    return ranked.score, ranked.candidate.created_at, ranked.candidate.id
