"""What every embedding provider offers."""

from collections.abc import Sequence
from typing import Protocol

from deployments.schemas.vectors import Vectors


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
