"""Recall audit: compares a search with an exact scan in the same snapshot."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

import asyncpg

from deployments.analysis.query import NO_WORDS
from deployments.schemas.search import SearchRequest
from deployments.schemas.vectors import QueryVector
from deployments.settings import SearchSettings
from deployments.storage.messages.where_sql import where_sql
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.search.candidate_search import VectorScan, find
from deployments.storage.search.candidates import CandidateRepository, search_parameters

FIRST = 10
# Up to this size of the messages, without indexes and long contents, the whole table is scanned.
TABLE_BYTES = 512 * 1024**2


class Reference(StrEnum):
    """The source of the exact scan: the whole table, or the tenant's rows by an index on the tenant."""

    TABLE = "table"
    INDEX = "index"


class Measured(NamedTuple):
    """A message's exact distance to the query, and whether the search found it."""

    distance: float
    found: bool


class Comparison(NamedTuple):
    """All messages that the search found, and the ten nearest that it did not find."""

    measured: list[Measured]
    scan: VectorScan
    reference: Reference


class ExactOrderRepository:
    """Runs a search, and an exact scan of all vectors that match its filters, in the same snapshot."""

    def __init__(self, database: Database, settings: SearchSettings) -> None:
        self._database = database
        self._settings = settings
        self._queries = load_queries("exact_order")

    async def compare(self, request: SearchRequest, embedding: QueryVector) -> Comparison | None:
        """Run both in one snapshot, whatever is written meanwhile. Return None if a statement timed out.

        Raises `DatabaseUnavailableError`, `OverloadedError`.
        """
        async with self._database.connection() as connection:
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    return await self._compare(connection, request, embedding)
            except asyncpg.QueryCanceledError:
                return None

    async def _compare(self, connection: Connection, request: SearchRequest, embedding: QueryVector) -> Comparison:
        now = datetime.now(UTC)
        milliseconds = int(self._settings.recall_audit_timeout_seconds * 1e3)
        await self._queries.bound_transaction(connection, timeout=str(milliseconds))
        repository = CandidateRepository(_TransactionConnections(connection), self._settings)
        candidates, scan = await find(repository, request, NO_WORDS, embedding, self._settings, now)
        whole = await self._queries.read_tables_whole(connection, most_bytes=TABLE_BYTES)
        rows = load_queries("exact_order", where=where_sql(request.where).text).measure_all(
            connection,
            **search_parameters(request, NO_WORDS, embedding, self._settings, FIRST, now),
            found=candidates.hits,
        )
        measured = [Measured(*row) async for row in rows]
        return Comparison(measured, scan, Reference.TABLE if whole else Reference.INDEX)


class _TransactionConnections:
    """Lends the connection of an open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        yield self._connection
