"""The protocol of embedding providers."""

from collections.abc import Sequence
from typing import Protocol

from deployments.schemas.vectors import Vectors


class EmbeddingProvider(Protocol):
    """Turns texts into unit vectors.

    A text that exceeds the model's limit is embedded in windows: its vector is their weighted mean.
    Errors of both embed methods: `EmbeddingUnavailableError` if the same call may succeed later,
    `EmbeddingRejectedError` if it never will. A call fails as a whole, without partial results.
    """

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed texts to be stored: shape (len(texts), dimensions), float32, rows of length 1."""
        ...

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed search queries: shape (len(texts), dimensions), float32, rows of length 1."""
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...
