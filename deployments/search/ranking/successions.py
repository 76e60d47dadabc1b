"""Orders newer facts before the facts that they supersede. Pure functions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar
from uuid import UUID


class Scored(Protocol):
    """A hit with its score."""

    @property
    def score(self) -> float:
        """Return the value that hits are ordered by."""


Item = TypeVar("Item", bound=Scored)


def newest_first(
    hits: Sequence[Item],
    successors: Mapping[UUID, UUID],
    id_of: Callable[[Item], UUID],
    with_score: Callable[[Item, float], Item],
) -> list[Item]:
    """Return the hits, best first, with the facts of each succession reordered newest first among their places.

    Each fact takes the score of its new place. `successors` maps a fact's id to the fact that supersedes it, up to the
    current fact. Facts with the same successor keep their order.
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
    """Return the last fact of a succession, and the number of steps to it."""
    steps = 0
    while (successor := successors.get(fact_id)) is not None and steps < len(successors):
        fact_id, steps = successor, steps + 1
    return fact_id, steps
