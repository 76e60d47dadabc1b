"""What is wrong with the database, or None."""

import asyncio

import asyncpg

from deployments.errors import ConfigurationError, DatabaseUnavailableError
from deployments.schemas.health import Problem, Status
from deployments.schemas.vectors import SpaceSource
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.schema import check, revision_problem, schema_revision

# Less than who asks waits: it is told what is wrong, and not only that nothing answers.
TIMEOUT_SECONDS = 2.0


async def database_problem(database: Database, source: SpaceSource) -> Problem | None:
    """Ask over a connection of its own: a pool that is busy says nothing about the database.

    Raises `DatabaseUnavailableError`; `ConfigurationError` for a schema or an embedding space that does not fit.
    """
    try:
        # What revives it takes longer than those who ask wait, and whoever has requests does it.
        connection = await database.connect(revive=False)
    except DatabaseUnavailableError as error:
        if isinstance(error.__cause__, asyncpg.TooManyConnectionsError) and database.usage().open:
            shared = "Postgres takes no more connections: requests share those that are open."
            return Problem(shared, Status.DEGRADED)
        raise
    except ConfigurationError:
        # Who may read this may not read what stands in the URL.
        return Problem("The database's URL asks for what cannot be: `python -m jobs.doctor` says what.")
    try:
        with database.errors(connection):
            await check(connection, source)
            if await load_queries("schema").takes_no_writes(connection):
                return Problem("The database takes no writes: it is a standby, or set to read only.")
    finally:
        # Not closed: a server that hangs would be waited for.
        connection.terminate()
    return None


async def pool_problem(database: Database) -> str | None:
    """Whether a connection of the pool comes free, and reads of our schema: a standby may lag.

    Raises `DatabaseUnavailableError`, `TimeoutError`.
    """
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), database.connection() as connection:
            return revision_problem(await schema_revision(connection))
    except TimeoutError:
        usage = database.usage()
        if usage.in_use < usage.max_size:
            raise
        return f"All {usage.max_size} database connections of this replica are busy, and {usage.waiting} callers wait."
