"""Ids follow from a delivery alone."""

from itertools import islice
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.edge.message_ids import message_ids

BATCH = 100


def ids(milliseconds: int, name: UUID) -> list[UUID]:
    return [each for each in islice(message_ids(f"{milliseconds}.{name}"), BATCH) if each is not None]


@settings(deadline=None)
@given(st.integers(0, 2**48 - 1), st.uuids(version=4))
def test_they_are_the_same_at_each_attempt_distinct_and_of_version_7(milliseconds: int, name: UUID) -> None:
    first, second = ids(milliseconds, name), ids(milliseconds, name)

    assert first == second
    assert len(set(first)) == BATCH
    assert {(each.version, each.variant) for each in first} == {(7, "specified in RFC 4122")}
    assert {each.int >> 80 for each in first} == {milliseconds}


@settings(deadline=None)
@given(st.uuids(version=4), st.uuids(version=4))
def test_two_deliveries_of_the_same_millisecond_share_none(one: UUID, other: UUID) -> None:
    assert one == other or not set(ids(1, one)) & set(ids(1, other))


def test_without_a_delivery_there_are_none() -> None:
    assert list(islice(message_ids(None), 2)) == [None, None]
