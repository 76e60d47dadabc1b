"""The reranking stage of a search, between the ranking and the answer."""

import asyncio
from collections.abc import Sequence

import structlog

from deployments.embedding.document import document_text
from deployments.schemas.search import SearchHit, SearchRequest
from deployments.search.instruments import FAILED, SearchInstruments
from deployments.search.reranking.circuit_breaker import CircuitBreaker
from deployments.search.reranking.endpoint import RerankEndpoint
from deployments.search.reranking.order import reorder
from deployments.search.reranking.protocol import (
    Reranker,
    RerankError,
    RerankInvalidError,
    RerankRejectedError,
    RerankUnavailableError,
)
from deployments.settings import RerankSettings
from deployments.tracing.spans import span

logger = structlog.get_logger(__name__)

RERANKED = "reranked"
PAUSED = "paused"
UNAVAILABLE = "unavailable"
REJECTED = "rejected"
INVALID = "invalid"
OUTCOMES = (RERANKED, PAUSED, UNAVAILABLE, REJECTED, INVALID, FAILED)
_OUTCOME_BY_CODE = {
    RerankUnavailableError.code: UNAVAILABLE,
    RerankRejectedError.code: REJECTED,
    RerankInvalidError.code: INVALID,
}


class RerankStage:
    """Reorders the best hits with a reranker. If that fails, the search keeps the order of the ranking."""

    def __init__(self, reranker: Reranker, settings: RerankSettings, instruments: SearchInstruments) -> None:
        self._reranker = reranker
        self._settings = settings
        self._instruments = instruments
        self._breaker = CircuitBreaker(settings.timeout_seconds)
        # Pre-create the labels so that the first failure shows up in rate().
        for outcome in OUTCOMES:
            instruments.rerankings.labels(outcome)

    def depth(self, top_k: int) -> int:
        """Return how many hits to rank for an answer of `top_k`."""
        return max(top_k, self._settings.candidates)

    async def best(self, request: SearchRequest, hits: Sequence[SearchHit]) -> list[SearchHit]:
        """Return the `top_k` best of the ranked hits. Reranker errors are not raised."""
        ordered = await self._reordered(request, hits) if hits else None
        return list(hits[: request.top_k]) if ordered is None else ordered

    async def close(self) -> None:
        """Release the reranker's connections."""
        await self._reranker.close()

    async def _reordered(self, request: SearchRequest, hits: Sequence[SearchHit]) -> list[SearchHit] | None:
        """Return the reranked hits, or None if the reranker is paused or fails."""
        if not self._breaker.admits():
            self._instruments.rerankings.labels(PAUSED).inc()
            return None
        try:
            with self._instruments.rerank.time(), span("rerank"):
                relevances = await relevances_in_time(self._reranker, self._settings, request.query, _texts(hits))
            reordered = reorder(hits, relevances, request.weights.diversity, request.top_k)
        except RerankError as error:
            self._note(error)
            return None
        except Exception:
            # Reranking is optional: a bug in it must not fail a search that has an answer without it.
            self._instruments.rerankings.labels(FAILED).inc()
            logger.exception("reranking_broke")
            return None
        self._breaker.close()
        self._instruments.rerankings.labels(RERANKED).inc()
        return reordered

    def _note(self, error: RerankError) -> None:
        """Count and log a failure. Only unavailability pauses: one tenant's text must not disable reranking for all."""
        self._instruments.rerankings.labels(_OUTCOME_BY_CODE.get(error.code, FAILED)).inc()
        if not isinstance(error, RerankUnavailableError):
            self._breaker.close()
            logger.warning("not_reranked", code=error.code, reason=error.message)
        elif self._breaker.open(error.retry_after):
            logger.warning("reranking_paused", code=error.code, reason=error.message)


async def relevances_in_time(
    reranker: Reranker, settings: RerankSettings, query: str, documents: Sequence[str]
) -> list[float]:
    """Return the relevance of each document, 0 to 1. Query and documents are cut to `max_characters`.

    Raises `RerankError`, and `RerankUnavailableError` after `timeout_seconds`.
    """
    cut = settings.max_characters
    try:
        async with asyncio.timeout(settings.timeout_seconds):
            return await reranker.rerank(query[:cut], [document[:cut] for document in documents])
    except TimeoutError:
        raise RerankUnavailableError("The reranker did not answer in time.") from None


def create_stage(settings: RerankSettings, instruments: SearchInstruments) -> RerankStage | None:
    """Return the configured stage, or None if no reranker is set."""
    if settings.url is None:
        return None
    return RerankStage(RerankEndpoint(settings.url, settings), settings, instruments)


def _texts(hits: Sequence[SearchHit]) -> list[str]:
    return [document_text(hit.role, hit.name, hit.content, hit.created_at) for hit in hits]
