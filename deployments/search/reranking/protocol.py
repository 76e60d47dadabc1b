"""Interface and errors of rerankers."""

from collections.abc import Sequence
from typing import Protocol

from deployments.errors import MemoryLayerError


class RerankError(MemoryLayerError):
    """Base class of the errors that a reranker may raise."""

    code = "rerank_error"


class RerankUnavailableError(RerankError):
    """The reranker is unreachable, slow, overloaded, or refuses our key: a later call may succeed.

    `retry_after`: the reranker's Retry-After in seconds, or None.
    """

    code = "rerank_unavailable"


class RerankRejectedError(RerankError):
    """The reranker rejects this request: a retry would fail too.

    `details["reason"]` holds the endpoint's message, which may quote the documents: do not log it.
    """

    code = "rerank_rejected"


class RerankInvalidError(RerankError):
    """The reranker's answer is malformed."""

    code = "rerank_invalid"


class Reranker(Protocol):
    """Scores documents against a query by reading both together."""

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return the relevance of each document to the query, 0 to 1, in the documents' order.

        Raises `RerankError`. The caller sets the timeout.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
