"""Validation and normalisation of a provider's vectors."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deployments.errors import EmbeddingUnavailableError
from deployments.schemas.vectors import EmbeddingSpace, Vectors


def unit_rows(rows: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> Vectors:
    """Scale each row to length 1: same shape, float32. A row of zeros becomes the first unit vector.

    In pgvector the cosine distance to a zero vector is NaN, and HNSW does not index such rows. A fixed unit vector
    keeps every distance a number and every row in the index, and is far from real texts.
    """
    exact = rows.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    directionless = lengths[:, 0] == 0.0
    exact[directionless, 0] = 1.0
    lengths[directionless] = 1.0
    units: Vectors = (exact / lengths).astype(np.float32)
    return units


def answered_vectors(rows: Sequence[Sequence[float]], *, count: int, space: EmbeddingSpace, provider: str) -> Vectors:
    """Check a provider's answer to `count` texts and normalise it: shape (count, dimensions).

    Raises `EmbeddingUnavailableError` for a wrong count, wrong dimensions, or rows that have no direction.
    """
    if len(rows) != count:
        raise EmbeddingUnavailableError(f"{provider} answered {len(rows)} vectors for {count} texts.")
    try:
        wrong = next((len(row) for row in rows if len(row) != space.dimensions), None)
        vectors = np.asarray(rows if wrong is None else (), dtype=np.float64)
    except (TypeError, ValueError):
        raise EmbeddingUnavailableError(f"{provider} answered something else than numbers.") from None
    if wrong is not None:
        raise EmbeddingUnavailableError(
            f"{provider} answered vectors of {wrong} dimensions from {space.model}, "
            f"where {space.dimensions} were expected: check MEMORY_EMBEDDING_DIMENSIONS."
        )
    if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
        raise EmbeddingUnavailableError(f"{provider} answered vectors that are zero or not finite.")
    return unit_rows(vectors)
