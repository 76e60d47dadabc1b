"""The connection pool of a replica, and the translation of its errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol, TypeAlias

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy
from pgvector.asyncpg import register_vector

from deployments.errors import ConfigurationError, DatabaseUnavailableError, InvalidRequestError, OverloadedError
from deployments.settings import DatabaseSettings

logger = structlog.get_logger(__name__)

Connection: TypeAlias = PoolConnectionProxy
OwnConnection: TypeAlias = asyncpg.Connection

# A plan for a tenant of ten messages is ruinous for one of a million, and a cached generic plan serves both. JIT costs
# more than it saves in queries as short as these.
SESSION = {
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    # Results are ranked again, so order does not matter: strict order drops nearer tuples that a later iteration finds.
    # One HNSW tuple costs about four exact distances, so an exact scan is cheaper for selective filters.
    "hnsw.iterative_scan": "relaxed_order",
    "hnsw.ef_search": "400",
    "hnsw.max_scan_tuples": "20000",
}

# Only Postgres, or asyncpg on its behalf, raises these.
_UNAVAILABLE_ERRORS = (
    asyncpg.InternalClientError,  # a connection that is cut between the parts of a query
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DiskFullError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
)
# These mean that Postgres is unavailable only while connecting, or if the connection is closed. Over an open one, an
# OSError comes from a file or another server (TimeoutError is an OSError too), and an InterfaceError is our bug,
# such as a wrong number of arguments.
_AMBIGUOUS_ERRORS = (OSError, asyncpg.InterfaceError)
_CONNECT_ERRORS = (*_UNAVAILABLE_ERRORS, *_AMBIGUOUS_ERRORS)

# Faults of the URL: an unknown TLS mode, a missing certificate, a setting that no server has.
_CONFIGURATION_ERRORS = (
    asyncpg.ClientConfigurationError,
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidParameterValueError,
)

_DATA_ERRORS = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)


@dataclass(frozen=True)
class PoolSize:
    """The minimum and maximum number of connections of a pool."""

    min_size: int
    max_size: int


@dataclass(frozen=True)
class PoolUsage:
    """The maximum, used and idle connections of a pool, and the callers that wait for one."""

    max_size: int
    in_use: int
    idle: int
    waiting: int

    @property
    def open(self) -> int:
        """Return the number of open connections."""
        return self.in_use + self.idle


class Connections(Protocol):
    """A source of connections: a pool, or a transaction that shares its own."""

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Return a context manager that lends a connection."""


def pool_size(settings: DatabaseSettings, size: PoolSize) -> PoolSize:
    """Return the size from `serve_config.yaml`, unless the environment overrides it."""
    min_size = size.min_size if settings.pool_size is None else settings.pool_size
    max_size = max(size.max_size, min_size) if settings.pool_size is None else min_size
    if settings.max_overflow is not None:
        max_size = min_size + settings.max_overflow
    return PoolSize(min_size, max_size)


class Database:
    """A connection pool that opens at its first use, so that a replica can start before its database does.

    Errors that mean that Postgres is down, full or not yet set up are raised as `DatabaseUnavailableError`. The pool
    replaces broken connections by itself, so the service recovers with Postgres.
    """

    def __init__(
        self,
        url: str,
        settings: DatabaseSettings,
        size: PoolSize,
        revive: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        """`revive` is called if Postgres does not answer: it restarts the embedded server and returns its URL."""
        self._url = url
        self._settings = settings
        self._size = size
        self._revive = revive
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self._closed_until = 0.0
        self._waiting = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection of the pool. Waits for a free one for at most the connect timeout."""
        with _unavailable_on(*_CONNECT_ERRORS):
            pool = self._pool or await self._open()
            acquired = await self._acquire(pool)
        try:
            with self.errors(acquired):
                yield acquired
        finally:
            with _unavailable_on(*_CONNECT_ERRORS):
                await pool.release(acquired)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside of a transaction, which is committed at the end of the block."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @contextmanager
    def errors(self, connection: Connection | OwnConnection) -> Iterator[None]:
        """Translate Postgres' errors over a connection. The block's own errors pass through.

        Raises `DatabaseUnavailableError` if Postgres is down, `InvalidRequestError` for data that it cannot hold.
        """
        try:
            with _unavailable_on(*_UNAVAILABLE_ERRORS):
                yield
        except _AMBIGUOUS_ERRORS as error:
            if not _is_closed(connection):
                raise
            raise _unavailable(error) from error
        except _DATA_ERRORS as error:
            if error.severity is None:
                # Not an answer of the server: asyncpg could not encode a parameter, so we passed a wrong type.
                raise
            raise InvalidRequestError("The database cannot hold what was sent.") from error

    async def connect(self, *, revive: bool = True) -> OwnConnection:
        """Open a separate connection, outside of the pool. The caller closes it.

        `revive`: restart an embedded Postgres that has died, which may take a while.
        Raises `DatabaseUnavailableError`; `ConfigurationError` for an unusable option of the URL.
        """
        try:
            return await (self._connect() if revive else self._connect_once())
        except _CONFIGURATION_ERRORS as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise ConfigurationError(f"The database's URL asks for what cannot be: {reason}") from error
        except _CONNECT_ERRORS as error:
            raise DatabaseUnavailableError("The database cannot be reached just now.") from error

    def usage(self) -> PoolUsage:
        """Return the usage of the pool."""
        pool = self._pool
        size, idle = (0, 0) if pool is None else (pool.get_size(), pool.get_idle_size())
        return PoolUsage(self._size.max_size, size - idle, idle, self._waiting)

    async def close(self) -> None:
        """Close every connection, also those in use."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()

    async def _acquire(self, pool: asyncpg.Pool) -> Connection:
        self._waiting += 1
        try:
            return await pool.acquire(timeout=self._settings.connect_timeout_seconds)
        except TimeoutError:
            if pool.get_size() >= self._size.max_size and pool.get_idle_size() == 0:
                raise OverloadedError("All database connections are busy.") from None
            raise
        finally:
            self._waiting -= 1

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await self._create_pool()
        return self._pool

    async def _create_pool(self) -> asyncpg.Pool:
        """Create the pool. For a moment after a failure, fail at once, so that queued callers do not each wait."""
        if monotonic() < self._closed_until:
            raise DatabaseUnavailableError("The database cannot be reached just now.")
        pool = asyncpg.create_pool(
            min_size=self._size.min_size,
            max_size=self._size.max_size,
            connect=self._connect,
            init=_register_types,
            reset=_keep_session,
        )
        try:
            return await pool
        except (*_CONNECT_ERRORS, DatabaseUnavailableError):
            self._closed_until = monotonic() + 0.5
            raise

    async def _connect(self, *_: object, **options: Any) -> OwnConnection:
        try:
            return await self._connect_once(**options)
        except OSError:
            if self._revive is None:
                raise
            self._url = await self._revive()
            return await self._connect_once(**options)

    async def _connect_once(self, **options: Any) -> OwnConnection:
        connection: OwnConnection = await asyncpg.connect(
            self._url,
            timeout=self._settings.connect_timeout_seconds,
            statement_cache_size=self._settings.statement_cache_size,
            server_settings={
                **SESSION,
                "application_name": "ai-memory-layer",
                "statement_timeout": str(int(self._settings.statement_timeout_seconds * 1000)),
            },
            **options,
        )
        return connection


@contextmanager
def _unavailable_on(*errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> DatabaseUnavailableError:
    logger.warning("database_unavailable", reason=type(error).__name__, detail=str(error))
    if isinstance(error, asyncpg.DiskFullError):
        return DatabaseUnavailableError("The database's disk is full: nothing can be stored until there is room.")
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return DatabaseUnavailableError("The database takes no writes just now.")
    return DatabaseUnavailableError("The database cannot be reached just now.")


def _is_closed(connection: Connection | OwnConnection) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        # The pool takes back a closed connection at once, even while a caller holds it.
        return True


async def _register_types(connection: OwnConnection) -> None:
    try:
        await register_vector(connection)
    except ValueError as error:
        raise DatabaseUnavailableError("The database is not set up yet.") from error


async def _keep_session(_: OwnConnection) -> None:
    """Skip the reset of a released connection, which costs a round trip: no code changes the session."""
