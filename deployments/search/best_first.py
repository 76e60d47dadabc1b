"""Looks at the best messages of a search until enough of them differ, and reads the contents of those alone."""

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

# Where the best repeat each other, so many times as many are looked at next, up to so many: a tenant of 20,000 equal
# messages is not read whole by each search.
LOOKED_FURTHER = 4
LOOKED_AT_MOST = 1_000


class Seen(NamedTuple):
    """The best messages, best first, of how many that were scored.

    `degraded`: words alone decided. `all`: there are no others.
    """

    best: Best
    hits: Sequence[Hit]
    scored: int
    degraded: bool
    all: bool


# Takes how many messages to look at, and which others besides, if they pass the filters. None: there is nothing to look
# at any more.
Look: TypeAlias = Callable[[int, Collection[UUID]], Awaitable[Seen | None]]


async def best_first(request: SearchRequest, depth: int, look: Look, contents: HitContents) -> Ranking | None:
    """Return the first `depth` messages. None where `look` does. Errors: those of `look` and of `HitContents`.

    Where a fact that is superseded is among the best, the one that holds is looked at too, however little it scores.
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
    """Return what supersedes the facts that were seen: a round trip where some are."""
    superseded = [hit.id for hit in seen.hits if hit.fact is not None and _is_superseded(hit.fact)]
    return await contents.successors(request.tenant_id, superseded) if superseded else NONE_SUPERSEDED


def _is_superseded(fact: str) -> bool:
    return orjson.loads(fact)["superseded_by"] is not None


async def _whole(request: SearchRequest, seen: Seen, contents: HitContents) -> Seen:
    """Read the long contents. What is gone since is left out."""
    missing = [hit.id for hit in seen.hits if not hit.has_content]
    if not missing:
        return seen
    read = await contents.read(request.tenant_id, missing)
    kept = [place for place, hit in enumerate(seen.hits) if hit.has_content or hit.id in read]
    hits = [hit if hit.has_content else _with(hit, read[hit.id]) for hit in (seen.hits[place] for place in kept)]
    return seen._replace(best=seen.best.at(kept), hits=hits)


def _with(hit: Hit, content: str) -> Hit:
    """Return the hit, a named tuple of either way, with its whole content."""
    return cast("Hit", cast("Any", hit)._replace(content=content, has_content=True))
