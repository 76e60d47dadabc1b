"""Totals of the database over all tenants."""

import asyncio
from dataclasses import dataclass

from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries

# Shorter than TCP's own timeout, for a server that hangs.
READ_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class RetentionTotals:
    """Messages that all runs archived, deleted and restored, and the number of runs by status.

    `completed_at`: when a run last completed, in seconds since 1970; None: never. Dry runs do not count.
    """

    archived: int = 0
    deleted: int = 0
    restored: int = 0
    running: int = 0
    completed: int = 0
    refused: int = 0
    failed: int = 0
    completed_at: float | None = None


@dataclass(frozen=True)
class DatabaseTotals:
    """Pending and failed embeddings, how long the oldest has been pending, and the number of tenants.

    `erased_messages`: by all erasures, including unfinished ones.
    `tenants_reanalyzing`: tenants whose re-analysis is unfinished.
    """

    pending_embeddings: int
    failed_embeddings: int
    oldest_pending_seconds: float
    tenants: int
    erased_messages: int
    unfinished_erasures: int
    tenants_reanalyzing: int
    retention: RetentionTotals


class DatabaseTotalsRepository:
    """Reads the totals. It scans all pending jobs, so call it only every few seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("totals")

    async def read(self) -> DatabaseTotals:
        """Return the current totals. Raises `DatabaseUnavailableError`, `OverloadedError`."""
        async with self._database.connection() as connection, asyncio.timeout(READ_TIMEOUT_SECONDS):
            retention = RetentionTotals(**await self._queries.read_retention(connection))
            return DatabaseTotals(**await self._queries.read_totals(connection), retention=retention)
