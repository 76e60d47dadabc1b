"""How things stand in the database, over all tenants."""

import asyncio
from dataclasses import dataclass

from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries

# A server that hangs is not waited for until TCP gives it up.
READ_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class RetentionTotals:
    """Messages that all runs together archived, deleted and restored; how many runs there are in each status.

    `completed_at`: when one last did what it was to do, in seconds since 1970; None: never. Dry runs are not meant.
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
    """Messages that wait for their embedding or were given up, since when the oldest waits, and how many tenants.

    `erased_messages`: by all erasures together, of which some may be unfinished.
    `tenants_reanalyzing`: whose messages are to be analysed anew.
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
    """Reads it. Costs a scan of what waits: for once in many seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("totals")

    async def read(self) -> DatabaseTotals:
        """How things stand now. Raises `DatabaseUnavailableError`, `OverloadedError`."""
        async with self._database.connection() as connection, asyncio.timeout(READ_TIMEOUT_SECONDS):
            retention = RetentionTotals(**await self._queries.read_retention(connection))
            return DatabaseTotals(**await self._queries.read_totals(connection), retention=retention)
