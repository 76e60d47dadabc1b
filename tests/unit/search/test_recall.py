"""How much of what is nearest was found, whatever ties and gaps there are."""

import math

import pytest

from deployments.search.recall.measure import recall_at_10, tenant_size
from deployments.storage.search.exact_order import Measured

FOUND, LOST = True, False


def measured(*distances: float, found: bool) -> list[Measured]:
    return [Measured(distance, found) for distance in distances]


def share(*measured: list[Measured]) -> float:
    recall = recall_at_10([each for some in measured for each in some])
    assert recall is not None
    return recall.share


def test_all_of_the_ten_nearest_are_found_whatever_else_is() -> None:
    ten = [number / 100 for number in range(10)]

    assert share(measured(*ten, 0.5, 0.6, found=FOUND), measured(0.2, 0.3, found=LOST)) == 1


def test_what_is_lost_among_the_ten_nearest_counts_and_what_is_further_off_does_not_make_up_for_it() -> None:
    found = measured(*(number / 10 for number in range(3, 30)), found=FOUND)

    recall = recall_at_10([*found, *measured(0.0, 0.1, 0.2, found=LOST)])

    assert recall is not None
    assert (recall.share, recall.missing) == (0.7, 3)


def test_nothing_is_found_of_what_there_is() -> None:
    assert share(measured(*[0.1] * 12, found=LOST)) == 0


def test_of_those_as_far_as_the_tenth_any_will_do() -> None:
    nearer = measured(*[0.1] * 8, found=FOUND)

    assert share(nearer, measured(0.5, 0.5, found=FOUND), measured(0.5, 0.5, 0.5, found=LOST)) == 1
    assert share(nearer, measured(0.5, found=FOUND), measured(0.5, 0.5, 0.5, found=LOST)) == 0.9


def test_many_as_far_as_the_tenth_do_not_make_up_for_a_nearer_one_that_is_lost() -> None:
    assert share(measured(0.1, 0.1, 0.1, found=LOST), measured(*[0.5] * 20, found=FOUND)) == 0.7


def test_fewer_than_ten_are_compared_with_those_that_there_are() -> None:
    assert share(measured(0.1, 0.2, found=FOUND), measured(0.3, 0.4, found=LOST)) == 0.5


def test_a_vector_without_direction_is_no_loss() -> None:
    assert share(measured(0.1, found=FOUND), measured(math.nan, found=LOST)) == 1


@pytest.mark.parametrize("nothing", [[], measured(math.nan, found=LOST)])
def test_where_there_is_nothing_to_find_nothing_is_told(nothing: list[Measured]) -> None:
    assert recall_at_10(nothing) is None


@pytest.mark.parametrize(
    ("embedded", "name"),
    [
        (0, "under_1k"),
        (999, "under_1k"),
        (1_000, "1k_to_10k"),
        (10_000, "10k_to_100k"),
        (99_999, "10k_to_100k"),
        (100_000, "over_100k"),
    ],
)
def test_the_size_of_a_tenant_has_a_name(embedded: int, name: str) -> None:
    assert tenant_size(embedded) == name
