"""Health probes of the database."""

import asyncio
from time import monotonic

import asyncpg
import structlog

from deployments.errors import ConfigurationError, DatabaseUnavailableError
from deployments.schemas.health import Problem, Status
from deployments.schemas.vectors import SpaceSource
from deployments.storage.postgres.database import Database, OwnConnection
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.schema import check, revision_problem, schema_revision

# Shorter than the caller's timeout, so that the caller gets the cause and not only a timeout.
TIMEOUT_SECONDS = 2.0
# A write leaves some 5 kB of WAL and a few dead rows in the catalog.
BETWEEN_WRITES_SECONDS = 10.0

# What Postgres raises where a file cannot grow: for a lack of space, an input/output error, a quota, a file system that
# was remounted read-only (which it reports as a lack of privilege).
_FAILED_WRITES = (
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.InternalServerError,
    asyncpg.InsufficientPrivilegeError,
)

logger = structlog.get_logger(__name__)


class WriteProbe:
    """Writes to the database now and then, when somebody asks, and rolls it back. Use it from one task at a time."""

    def __init__(self) -> None:
        self._due = 0.0
        self._problem: Problem | None = None

    async def problem(self, connection: OwnConnection) -> Problem | None:
        """Return why writes fail, at most `BETWEEN_WRITES_SECONDS` old. Searches go on, so it is degraded.

        A failed write leaves the connection inside of its transaction. Raises what shows that Postgres is away.
        """
        if monotonic() >= self._due:
            self._problem = await _write_problem(connection)
            self._due = monotonic() + BETWEEN_WRITES_SECONDS
        return self._problem


async def _write_problem(connection: OwnConnection) -> Problem | None:
    queries = load_queries("schema")
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            if await queries.may_make_temporary_tables(connection):
                await queries.try_write(connection)
    except (TimeoutError, asyncpg.QueryCanceledError):
        sentence = f"Postgres did not finish a small write in {TIMEOUT_SECONDS:.0f} s: stores wait or fail."
        return Problem(f"{sentence} Look at its disk and its log.", Status.DEGRADED)
    except _FAILED_WRITES as error:
        logger.warning("write_probe_failed", reason=type(error).__name__, detail=str(error))
        if isinstance(error, asyncpg.DiskFullError):
            full = "The database's disk is full: stores and changes fail, searches go on. Free or add space."
            return Problem(full, Status.DEGRADED)
        return Problem("Postgres fails a small write: stores fail. Its log says why.", Status.DEGRADED)
    return None


async def database_problem(database: Database, source: SpaceSource, writes: WriteProbe) -> Problem | None:
    """Return the problem of the database, or None. Uses a separate connection, since the pool may just be busy.

    Raises `DatabaseUnavailableError`; `ConfigurationError` for an unexpected schema or embedding space.
    """
    try:
        # A restart takes longer than health callers wait, and requests trigger it anyway.
        connection = await database.connect(revive=False)
    except DatabaseUnavailableError as error:
        if isinstance(error.__cause__, asyncpg.TooManyConnectionsError) and database.usage().open:
            shared = "Postgres takes no more connections: requests share those that are open."
            return Problem(shared, Status.DEGRADED)
        raise
    except ConfigurationError:
        # Readers of this sentence may not see parts of the URL.
        return Problem("The database's URL asks for what cannot be: `python -m jobs.doctor` says what.")
    try:
        with database.errors(connection):
            await check(connection, source)
            if await load_queries("schema").takes_no_writes(connection):
                return Problem("The database takes no writes: it is a standby, or set to read only.")
            return await writes.problem(connection)
    finally:
        # Not `close`, which would wait for a server that hangs.
        connection.terminate()


async def pool_problem(database: Database) -> str | None:
    """Return the problem of the pool, or None: get a connection and read the schema's revision. A standby may lag.

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
