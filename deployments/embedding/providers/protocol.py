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


class EmbeddingProvider(Protocol):
    """Turns texts into unit vectors.

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
