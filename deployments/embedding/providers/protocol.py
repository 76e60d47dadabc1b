"""What every embedding provider offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddingSpace:
    """What makes vectors comparable: the same model, and the same number of dimensions."""

    model: str
    dimensions: int


@dataclass(frozen=True)
class QueryVector:
    """A query's unit vector of shape (dimensions,), and the space in which alone it means anything."""

    space: EmbeddingSpace
    values: Vector


@dataclass(frozen=True)
class DocumentVectors:
    """Unit vectors of texts, in their order, of shape (len(texts), dimensions), in one space or in two."""

    space: EmbeddingSpace
    values: Vectors
    other_space: EmbeddingSpace | None = None
    other_values: Vectors | None = None


class EmbeddingProvider(Protocol):
    """Turns texts into unit vectors.

    A text that is longer than its model takes is embedded in windows: one vector, the weighted mean of theirs.
    Errors of both embed methods: `EmbeddingUnavailableError` when the same call may work later,
    `EmbeddingRejectedError` when it never will. They fail as a whole: no partial results.
    """

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed texts to be stored: shape (len(texts), dimensions), float32, rows of length 1."""
        ...

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed search queries: shape (len(texts), dimensions), float32, rows of length 1."""
        ...

    async def close(self) -> None:
        """Give back connections and threads."""
        ...
