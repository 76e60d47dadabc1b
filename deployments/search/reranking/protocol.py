"""Interface and errors of rerankers."""

from collections.abc import Sequence
from typing import Protocol

from deployments.errors import MemoryLayerError


class RerankError(MemoryLayerError):
    """Base of what a reranker may raise."""

    code = "rerank_error"


class RerankUnavailableError(RerankError):
    """The reranker is away, slow, overloaded, or refuses our key: it may work later.

    `retry_after` is the reranker's own wish in seconds, where it stated one.
    """

    code = "rerank_unavailable"


class RerankRejectedError(RerankError):
    """The reranker refuses this very request: trying again would change nothing.

    `details["reason"]` holds the endpoint's own words, which may quote the documents: not to be logged.
    """

    code = "rerank_rejected"


class RerankInvalidError(RerankError):
    """The reranker's answer cannot be right."""

    code = "rerank_invalid"


class Reranker(Protocol):
    """Scores documents against a query by reading both together."""

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return the relevance of each document to the query, 0 to 1, in the documents' order.

        Raises `RerankError`. The caller bounds the time that it waits.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
