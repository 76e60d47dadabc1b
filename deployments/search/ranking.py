"""Order candidates and cut them to the hits. Pure: the clock is passed in."""

from collections.abc import Sequence
from datetime import datetime
from itertools import compress
from typing import NamedTuple
from uuid import UUID

import numpy as np

from deployments.search.bm25 import Bm25, Floats
from deployments.search.parts import Parts, Question, scored_parts, term_ranks
from deployments.search.versions import Versions
from deployments.search_schemas import Weights
from deployments.storage.candidates import Candidate, Candidates

# Behind the first `top_k`, so many more are looked at for a newer version of what is among them.
LOOKED_BEYOND = 10


class Ranked(NamedTuple):
    """A candidate, its score, and the parts that add up to it."""

    candidate: Candidate
    score: float
    parts: Parts


class Floors(NamedTuple):
    """Minimum score of a hit, and minimum similarity of an embedded one."""

    score: float = 0.0
    similarity: float = -1.0


NO_FLOORS = Floors()


def rank(
    found: Candidates, question: Question, weights: Weights, bm25: Bm25, top_k: int, floors: Floors = NO_FLOORS
) -> list[Ranked]:
    """Return the `top_k` best candidates by the weighted mean of their parts; ties by newest first.

    Of hits that say nearly the same of the same subject the newer comes first, and what says word for word what a newer
    one says is put back.
    """
    if not found.found:
        return []
    ranks = term_ranks(found)
    parts = scored_parts(found, ranks, question, weights, bm25)
    near = [c.similarity is None or not c.similarity < floors.similarity for c in found.found]
    versions = _versions(found, parts, _subjects(found, ranks, question), top_k, near)
    ranked = [
        _ranked(found.found[place], parts[place], weights, version_score=score, repeats=repeats)
        for place, score, repeats in versions.placed()
    ]
    return sorted((each for each in ranked if each.score >= floors.score), key=_order, reverse=True)[:top_k]


def _versions(
    found: Candidates, parts: Floats, subjects: Sequence[bytes], top_k: int, near: Sequence[bool]
) -> Versions:
    """Group the best candidates by what they say, until there are enough that repeat none of the others."""
    scores = parts.sum(axis=1).tolist()
    keys = [(score, each.created_at, each.id) for score, each in zip(scores, found.found, strict=True)]
    versions = Versions()
    for place in sorted(compress(range(len(keys)), near), key=keys.__getitem__, reverse=True):
        versions.add(place, found.found[place], scores[place], subjects[place])
        if versions.distinct == top_k + LOOKED_BEYOND:
            break
    return versions


def _subjects(found: Candidates, ranks: Floats, question: Question) -> Sequence[bytes]:
    """Return the set of the query's terms, stop words aside, that each candidate itself holds, as packed booleans."""
    full = np.array([question.query.weight_of[term] == 1.0 for term in found.corpus.terms], dtype=bool)
    return [row.tobytes() for row in (ranks > 0) & full]


def _ranked(candidate: Candidate, parts: Floats, weights: Weights, *, version_score: float, repeats: bool) -> Ranked:
    """Return the candidate with its final score.

    `version_score`: its score once its versions are ordered by age. `repeats`: a newer hit has the same text.
    """
    own = float(parts.sum())
    newer = min(weights.newer, 1.0) * (version_score - own)
    repetition = -min(weights.diversity, 1.0) * (own + newer) if repeats else 0.0
    return Ranked(
        candidate, min(max(own + newer + repetition, 0.0), 1.0), Parts._make([*parts.tolist(), newer, repetition])
    )


def _order(ranked: Ranked) -> tuple[float, datetime, UUID]:
    return ranked.score, ranked.candidate.created_at, ranked.candidate.id
