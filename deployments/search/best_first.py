"""Examines the best messages of a search until enough of them differ, and reads only their contents."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast
from uuid import UUID

import orjson

from deployments.schemas.candidates import Hit
from deployments.schemas.search import SearchRequest
from deployments.search.plans import NONE_SUPERSEDED, Ranking
from deployments.search.ranking.ordering import LOOKED_BEYOND, Best, Floors, ordered, versions_of
from deployments.search.ranking.successions import newest_of
from deployments.storage.search.hit_contents import HitContents

# If too many of the best are duplicates, the next round examines LOOKED_FURTHER times as many, up to LOOKED_AT_MOST.
# The limit keeps a search from reading a tenant of 20,000 equal messages whole.
LOOKED_FURTHER = 4
LOOKED_AT_MOST = 1_000


class Seen(NamedTuple):
    """The best messages, best first.

    `scored`: how many messages were scored. `degraded`: only words were compared. `all`: there are no further messages.
    """

    best: Best
    hits: Sequence[Hit]
    scored: int
    degraded: bool
    all: bool


# Takes how many messages to return, and ids of further ones to add if they pass the filters. Returns None if the index
# is no longer in memory.
Look: TypeAlias = Callable[[int, Collection[UUID]], Awaitable[Seen | None]]


async def best_first(request: SearchRequest, depth: int, look: Look, contents: HitContents) -> Ranking | None:
    """Return the best `depth` messages, or None if `look` returns None. Raises what `look` and `HitContents` raise.

    If a superseded fact is among the best, the current fact is examined too, whatever its score.
    """
    count, besides = depth + LOOKED_BEYOND, frozenset[UUID]()
    while (seen := await look(count, besides)) is not None:
        seen = await _whole(request, seen, contents)
        successors = await _successors(request, seen, contents)
        newest = {newest_of(each, successors)[0] for each in successors} - {hit.id for hit in seen.hits}
        if newest - besides:
            besides |= newest
            continue
        versions = versions_of(seen.best, seen.hits, depth + len(besides))
        if seen.all or versions.distinct >= depth + LOOKED_BEYOND or count >= LOOKED_AT_MOST:
            floors = Floors(request.min_score, request.min_similarity)
            ranked = ordered(seen.best, seen.hits, versions, request.weights, depth, floors, successors)
            return Ranking(ranked, seen.scored, seen.degraded, successors)
        count *= LOOKED_FURTHER
    return None


async def _successors(request: SearchRequest, seen: Seen, contents: HitContents) -> Mapping[UUID, UUID]:
    """Return the successors of the superseded facts. This takes one round trip, or none if no fact is superseded."""
    superseded = [hit.id for hit in seen.hits if hit.fact is not None and _is_superseded(hit.fact)]
    return await contents.successors(request.tenant_id, superseded) if superseded else NONE_SUPERSEDED


def _is_superseded(fact: str) -> bool:
    return orjson.loads(fact)["superseded_by"] is not None


async def _whole(request: SearchRequest, seen: Seen, contents: HitContents) -> Seen:
    """Return the messages with their long contents read. Messages deleted in the meantime are dropped."""
    missing = [hit.id for hit in seen.hits if not hit.has_content]
    if not missing:
        return seen
    read = await contents.read(request.tenant_id, missing)
    kept = [place for place, hit in enumerate(seen.hits) if hit.has_content or hit.id in read]
    hits = [hit if hit.has_content else _with(hit, read[hit.id]) for hit in (seen.hits[place] for place in kept)]
    return seen._replace(best=seen.best.at(kept), hits=hits)


def _with(hit: Hit, content: str) -> Hit:
    """Return the hit with its whole content. Both plans' hits are named tuples."""
    return cast("Hit", cast("Any", hit)._replace(content=content, has_content=True))
