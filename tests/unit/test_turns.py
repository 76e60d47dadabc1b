"""Owners take turns, and nobody waits for more than one item of each other."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.runtime.turns import Turns

OWNERS = ("a", "b", "c", "d")
waiting = st.lists(st.sampled_from(OWNERS), max_size=60)


def filled(owners: list[str]) -> Turns[tuple[str, int]]:
    turns: Turns[tuple[str, int]] = Turns()
    for number, owner in enumerate(owners):
        turns.add(owner, (owner, number))
    return turns


@given(waiting, st.integers(0, 60), st.sampled_from(OWNERS))
def test_no_owners_first_item_goes_later_than_there_are_owners(before: list[str], taken: int, late: str) -> None:
    turns = filled(before)
    for _ in range(min(taken, len(turns))):
        turns.take()
    turns.add(late, (late, -1))
    rest = [turns.take()[0] for _ in range(len(turns))]

    for owner in set(rest):
        assert rest.index(owner) < len(set(rest))


@given(waiting)
def test_everything_is_taken_once_and_oldest_first_for_each_owner(owners: list[str]) -> None:
    turns = filled(owners)
    took: dict[str, list[int]] = defaultdict(list)
    while turns:
        first = turns.first()
        assert turns.take() == first
        took[first[0]].append(first[1])

    assert took == {owner: [n for n, each in enumerate(owners) if each == owner] for owner in set(owners)}
    with pytest.raises(IndexError):
        turns.first()


@given(waiting, st.sampled_from(OWNERS))
def test_no_more_items_are_ahead_than_is_said(owners: list[str], owner: str) -> None:
    turns = filled(owners)
    ahead = turns.ahead(owner)
    turns.add(owner, (owner, -1))

    taken = [turns.take() for _ in range(len(turns))]

    assert taken.index((owner, -1)) <= ahead <= len(owners)


def test_what_is_dropped_costs_its_owner_no_turn() -> None:
    turns = filled(["a", "a", "b"])

    turns.drop()

    assert [turns.take()[0] for _ in range(2)] == ["a", "b"]


@given(waiting, st.sampled_from(OWNERS))
def test_who_has_most_gives_way_to_who_would_have_less(owners: list[str], owner: str) -> None:
    turns, counts = filled(owners), Counter(owners)
    most = max(counts.values(), default=0)

    left = turns.give_way(owner)

    if counts[owner] + 1 < most:
        assert left is not None
        assert counts[left[0]] == most
        assert left[1] == max(number for number, each in enumerate(owners) if each == left[0])
        assert len(turns) == len(owners) - 1
    else:
        assert left is None
        assert len(turns) == len(owners)
