"""The vector of a search's query, or none in time."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog

from deployments.errors import EmbeddingError, EmbeddingRejectedError, UnavailableError
from deployments.schemas.vectors import EmbeddingSpace, QueryVector
from deployments.search.instruments import SearchInstruments

logger = structlog.get_logger(__name__)

# While the embedding side is away, only so often does a search pay the timeout to see whether it is back.
PAUSE_SECONDS = 1.0
# The mean of so much text says no more with more of it, while 100,000 emoji take 2.3 s to embed.
EMBEDDED_CHARACTERS = 8_192

Embed = Callable[[str, str | None, EmbeddingSpace | None], Awaitable[QueryVector]]


class QueryEmbedding:
    """Embeds queries in the space that was active last, until it is told of another."""

    def __init__(self, embed: Embed, timeout_seconds: float, instruments: SearchInstruments) -> None:
        """`embed`: a query, its request's id and the space that is wanted, None if it is not known yet."""
        self._embed = embed
        self._timeout_seconds = timeout_seconds
        self._instruments = instruments
        self._paused_until = 0.0
        self._space: EmbeddingSpace | None = None

    def follow(self, space: EmbeddingSpace) -> None:
        """Note which space is active."""
        self._space = space

    async def vector(
        self, query: str, request_id: str | None, space: EmbeddingSpace | None = None
    ) -> QueryVector | None:
        """Return the query's vector in a space, by default the active one.

        None where the provider rejects the query, is away, or takes longer than it may. Only the last two pause the
        embedding of queries, for all tenants of the replica.
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
