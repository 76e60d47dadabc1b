"""A fact never stands above what supersedes it, whatever the scores are."""

from typing import NamedTuple
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from deployments.search.ranking.successions import newest_first, newest_of


class Hit(NamedTuple):
    """A hit of a search."""

    id: UUID
    score: float


def with_score(hit: Hit, score: float) -> Hit:
    return hit._replace(score=score)


def arranged(hits: list[Hit], successors: dict[UUID, UUID]) -> list[Hit]:
    return newest_first(hits, successors, lambda hit: hit.id, with_score)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Hit], dict[UUID, UUID]]:
    """Hits, best first, and what supersedes what: each fact at most one, of a higher number; not all are hits."""
    count = draw(st.integers(0, 12))
    ids = [UUID(int=number) for number in range(count)]
    successors = {}
    for number in range(count - 1):
        if (newer := draw(st.none() | st.integers(number + 1, count - 1))) is not None:
            successors[ids[number]] = ids[newer]
    scores = sorted(draw(st.lists(st.floats(0, 1), min_size=count, max_size=count)), reverse=True)
    shown = draw(st.permutations(ids))[: draw(st.integers(0, count))]
    return [Hit(*each) for each in zip(shown, scores, strict=False)], successors


@given(histories())
def test_nothing_stands_above_what_supersedes_it(drawn: tuple[list[Hit], dict[UUID, UUID]]) -> None:
    hits, successors = drawn

    places = {hit.id: place for place, hit in enumerate(arranged(hits, successors))}

    for older, place in places.items():
        newer = successors.get(older)
        while newer is not None:
            assert places.get(newer, -1) < place
            newer = successors.get(newer)


@given(histories())
def test_places_keep_their_scores_and_others_their_places(drawn: tuple[list[Hit], dict[UUID, UUID]]) -> None:
    hits, successors = drawn

    after = arranged(hits, successors)

    assert [hit.score for hit in after] == [hit.score for hit in hits]
    assert {hit.id for hit in after} == {hit.id for hit in hits}
    for before, now in zip(hits, after, strict=True):
        assert newest_of(before.id, successors)[0] == newest_of(now.id, successors)[0]


def test_a_circle_comes_to_an_end() -> None:
    one, two = UUID(int=1), UUID(int=2)

    assert len(arranged([Hit(one, 0.5), Hit(two, 0.4)], {one: two, two: one})) == 2
