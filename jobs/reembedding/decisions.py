"""What is to be done next, from what the database says: pure functions."""

from enum import StrEnum

from deployments.schemas.vectors import ProviderName, SpaceSource
from deployments.storage.embeddings.spaces import OtherState, Spaces
from jobs.reembedding.errors import ReembeddingError

# Providers that embed with one model only.
ONE_MODEL = frozenset({ProviderName.LOCAL, ProviderName.E5})


class Step(StrEnum):
    """`BEGIN` a second space, `GO_ON` with the one that is there, or all is `DONE`."""

    BEGIN = "begin"
    GO_ON = "go on"
    DONE = "done"


def first_step(spaces: Spaces, target: SpaceSource) -> Step:
    """How to come to the target. Raises `ReembeddingError` where another space is in the way."""
    other = spaces.other
    if other is not None and other.space == target.space:
        return Step.GO_ON
    if other is not None and spaces.other_state is OtherState.NEXT:
        raise ReembeddingError(f"The space {named(other)} is to be the next: finish that, or give it up with --drop")
    if spaces.active.space == target.space:
        return Step.DONE
    if other is not None:
        raise ReembeddingError(f"The space {named(other)} is kept for going back: drop it first, with --drop")
    return Step.BEGIN


def way_back(spaces: Spaces) -> SpaceSource:
    """The previous space. Raises `ReembeddingError` where none is kept, as after going back."""
    if spaces.other is None or spaces.other_state is not OtherState.PREVIOUS:
        raise ReembeddingError(f"There is no space to go back to: {named(spaces.active)} is active")
    return spaces.other


def named(source: SpaceSource) -> str:
    """A space as people are told of it."""
    return f"{source.space.model} ({source.space.dimensions})"


def bytes_needed(table_bytes: int, vectors: int, dimensions: int, index_bytes_beside_vector: int) -> int:
    """What filling takes of the disk at most: each row is written again, and there are vectors and an index more."""
    return table_bytes + vectors * (4 * dimensions + index_bytes_beside_vector)
