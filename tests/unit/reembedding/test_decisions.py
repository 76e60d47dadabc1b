"""What is to be done next, from what the database says."""

from uuid import UUID

import pytest

from deployments.schemas.vectors import EmbeddingSpace, ProviderName, SpaceSource
from deployments.storage.embeddings.spaces import OtherState, Spaces
from jobs.reembedding.comparing import shared
from jobs.reembedding.decisions import Step, bytes_needed, first_step, way_back
from jobs.reembedding.errors import ReembeddingError
from jobs.reembedding.filling import ProgressDeadline

OLD, NEW, THIRD = (SpaceSource(ProviderName.LOCAL, EmbeddingSpace("wordllama", each)) for each in (256, 128, 64))
NEXT, PREVIOUS = OtherState.NEXT, OtherState.PREVIOUS


@pytest.mark.parametrize(
    ("spaces", "step"),
    [
        (Spaces(OLD), Step.BEGIN),
        (Spaces(OLD, NEW, NEXT), Step.GO_ON),
        (Spaces(OLD, NEW, PREVIOUS), Step.GO_ON),
        (Spaces(NEW, OLD, PREVIOUS), Step.DONE),
        (Spaces(NEW), Step.DONE),
    ],
)
def test_the_first_step_to_a_space(spaces: Spaces, step: Step) -> None:
    assert first_step(spaces, NEW) is step


@pytest.mark.parametrize("spaces", [Spaces(OLD, THIRD, NEXT), Spaces(OLD, THIRD, PREVIOUS), Spaces(NEW, THIRD, NEXT)])
def test_another_space_is_in_the_way(spaces: Spaces) -> None:
    with pytest.raises(ReembeddingError, match=r"wordllama \(64\)"):
        first_step(spaces, NEW)


def test_the_way_back_is_to_what_was_left() -> None:
    assert way_back(Spaces(NEW, OLD, PREVIOUS)) == OLD


@pytest.mark.parametrize("spaces", [Spaces(OLD), Spaces(OLD, NEW, NEXT)])
def test_there_is_no_way_back_to_what_was_never_active(spaces: Spaces) -> None:
    with pytest.raises(ReembeddingError):
        way_back(spaces)


def test_a_filled_table_is_written_once_more_and_has_an_index() -> None:
    assert bytes_needed(1_000_000, 1_000, 256, 400) == 1_000_000 + 1_000 * (2 * 2 * 256 + 400)


def test_patience_is_over_when_nothing_has_moved_for_as_long() -> None:
    now = 0.0
    patience = ProgressDeadline(10.0, lambda: now)

    now = 10.0
    assert not patience.is_over
    patience.moved()
    now = 20.0
    assert not patience.is_over
    now = 20.1
    assert patience.is_over


def test_what_two_lists_share() -> None:
    first, second, third = UUID(int=1), UUID(int=2), UUID(int=3)

    assert shared([first, second], [second, third]) == 0.5
    assert shared([], []) == 1.0
