"""Decides the next step of a re-embedding from the state of the database. Pure functions."""

from enum import StrEnum

from deployments.schemas.vectors import ProviderName, SpaceSource
from deployments.storage.embeddings.spaces import OtherState, Spaces
from jobs.reembedding.errors import ReembeddingError

# Providers with a single model.
ONE_MODEL = frozenset({ProviderName.LOCAL, ProviderName.E5})


class Step(StrEnum):
    """`BEGIN` a second space, `GO_ON` with the existing one, or `DONE`."""

    BEGIN = "begin"
    GO_ON = "go on"
    DONE = "done"


def first_step(spaces: Spaces, target: SpaceSource) -> Step:
    """Return the first step towards the target. Raises `ReembeddingError` if another space blocks it."""
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
    """Return the previous space. Raises `ReembeddingError` if none is kept, as after going back."""
    if spaces.other is None or spaces.other_state is not OtherState.PREVIOUS:
        raise ReembeddingError(f"There is no space to go back to: {named(spaces.active)} is active")
    return spaces.other


def named(source: SpaceSource) -> str:
    """Return the display name of a space."""
    return f"{source.space.model} ({source.space.dimensions})"


def bytes_needed(table_bytes: int, vectors: int, dimensions: int, index_bytes_beside_vector: int) -> int:
    """Return the maximum disk space that filling takes: it rewrites each row, and adds vectors and an index."""
    return table_bytes + vectors * (4 * dimensions + index_bytes_beside_vector)
