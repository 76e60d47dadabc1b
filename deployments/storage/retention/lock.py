"""One retention at a time, wherever it runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from deployments.storage.postgres.database import Database, OwnConnection
from deployments.storage.postgres.named_queries import load_queries

POLL_SECONDS = 0.5


class RetentionLock:
    """An advisory lock, held by a transaction that is open on a connection of its own and does nothing else.

    It goes when the connection does, so whoever is killed leaves none behind. By a transaction and not by a session:
    behind PgBouncer a session's lock would stay with a server connection that others use next, while a transaction
    keeps its server connection in every mode of pooling. It holds no snapshot, so it does not keep vacuum waiting.

    It keeps two runs from loading the database at once. What keeps them from spoiling each other's work, should the
    connection be cut unnoticed, is the claim on each run.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("retention_runs")

    @asynccontextmanager
    async def held(self, on_wait: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
        """Wait for the lock, and hold it while the block runs. `on_wait` is called if it is taken.

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
        """One transaction for each try, which is left open by the one that succeeds."""
        with self._database.errors(connection):
            await connection.execute("BEGIN")
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            if await self._queries.try_lock(connection):
                return True
            await connection.execute("ROLLBACK")
        return False
