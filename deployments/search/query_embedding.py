"""Embeds the queries of searches, within a deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog

from deployments.errors import EmbeddingError, EmbeddingRejectedError, UnavailableError
from deployments.schemas.vectors import EmbeddingSpace, QueryVector
from deployments.search.instruments import SearchInstruments

logger = structlog.get_logger(__name__)

# After a failure, searches do not call Embedding for this long, so that not every search waits for the timeout.
PAUSE_SECONDS = 1.0
# More text than this hardly changes the mean vector, while 100,000 emoji take 2.3 s to embed.
EMBEDDED_CHARACTERS = 8_192

Embed = Callable[[str, str | None, EmbeddingSpace | None], Awaitable[QueryVector]]


class QueryEmbedding:
    """Embeds queries in the last known active space."""

    def __init__(self, embed: Embed, timeout_seconds: float, instruments: SearchInstruments) -> None:
        """`embed` takes a query, its request id, and the wanted space (None if it is not known yet)."""
        self._embed = embed
        self._timeout_seconds = timeout_seconds
        self._instruments = instruments
        self._paused_until = 0.0
        self._space: EmbeddingSpace | None = None

    def follow(self, space: EmbeddingSpace) -> None:
        """Set the active space."""
        self._space = space

    async def vector(
        self, query: str, request_id: str | None, space: EmbeddingSpace | None = None
    ) -> QueryVector | None:
        """Return the query's vector in a space, by default the active one.

        Return None if the provider rejects the query, is unavailable, or times out. Only the last two pause query
        embedding, for all tenants of the replica.
        """
        if monotonic() < self._paused_until:
            return None
        try:
            with self._instruments.embed.time():
                async with asyncio.timeout(self._timeout_seconds):
                    return await self._embed(query[:EMBEDDED_CHARACTERS], request_id, space or self._space)
        except EmbeddingRejectedError as error:
            logger.warning("query_rejected", reason=error.message)
            return None
        except (EmbeddingError, UnavailableError, TimeoutError) as error:
            self._paused_until = monotonic() + PAUSE_SECONDS
            logger.warning("query_not_embedded", reason=str(error) or type(error).__name__)
            return None
