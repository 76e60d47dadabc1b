"""The lock that allows one retention run at a time in the cluster."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from deployments.storage.postgres.database import Database, OwnConnection
from deployments.storage.postgres.named_queries import load_queries

POLL_SECONDS = 0.5


class RetentionLock:
    """An advisory lock, held by an idle open transaction on a separate connection.

    The lock is released when the connection closes, so a killed process leaves none behind. It belongs to a transaction
    and not to a session: behind PgBouncer a session's lock would stay with a server connection that other clients use
    next, while a transaction keeps its server connection in every pooling mode. It holds no snapshot, so it does not
    delay vacuum.

    It keeps two runs from loading the database at once. If its connection breaks unnoticed, the claim on each run still
    keeps runs from interfering.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("retention_runs")

    @asynccontextmanager
    async def held(self, on_wait: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
        """Wait for the lock, and hold it while the block runs. `on_wait` is called if the lock is taken.

        Raises `DatabaseUnavailableError`.
        """
        connection = await self._database.connect()
        try:
            if not await self._locked(connection):
                on_wait()
                while not await self._locked(connection):  # noqa: ASYNC110 - Postgres sets no event
                    await asyncio.sleep(POLL_SECONDS)
            yield
        finally:
            connection.terminate()

    async def _locked(self, connection: OwnConnection) -> bool:
        """Try to take the lock in a new transaction, which stays open on success. Return whether it was taken."""
        with self._database.errors(connection):
            await connection.execute("BEGIN")
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            if await self._queries.try_lock(connection):
                return True
            await connection.execute("ROLLBACK")
        return False
