"""Put newer facts before those that they supersede. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar
from uuid import UUID


class Scored(Protocol):
    """A hit with its score."""

    @property
    def score(self) -> float:
        """What hits are ordered by."""


Item = TypeVar("Item", bound=Scored)


def newest_first(
    hits: Sequence[Item],
    successors: Mapping[UUID, UUID],
    id_of: Callable[[Item], UUID],
    with_score: Callable[[Item, float], Item],
) -> list[Item]:
    """Return the hits, best first, where the facts of one succession change places until the newest is first.

    Each takes the score of its new place. `successors`: what supersedes a fact, up to the fact that holds. Of facts
    that the same one supersedes the order stays.
    """
    if not successors:
        return list(hits)
    places: dict[UUID, list[int]] = {}
    depths = []
    for place, hit in enumerate(hits):
        newest, depth = newest_of(id_of(hit), successors)
        places.setdefault(newest, []).append(place)
        depths.append(depth)
    ordered = list(hits)
    for of_one in places.values():
        for place, taken in zip(of_one, sorted(of_one, key=lambda place: (depths[place], place)), strict=True):
            if place != taken:
                ordered[place] = with_score(hits[taken], hits[place].score)
    return ordered


def newest_of(fact_id: UUID, successors: Mapping[UUID, UUID]) -> tuple[UUID, int]:
    """Return the fact at the end of a succession, and how many steps it is away."""
    steps = 0
    while (successor := successors.get(fact_id)) is not None and steps < len(successors):
        fact_id, steps = successor, steps + 1
    return fact_id, steps
