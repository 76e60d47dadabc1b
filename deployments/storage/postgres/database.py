"""One pool of connections for each replica, and one meaning for all that can go wrong with it."""

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

# A plan that fits a tenant of ten messages is ruinous for one of a million, and a cached generic plan is one for
# all of them. JIT costs more than queries as short as these can win back.
SESSION = {
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    # What is found is ranked again, so it need not come in order: strict order drops what a later round finds nearer.
    # A walked tuple costs four measured ones, so a filter that lets few through is sooner served by measuring all.
    "hnsw.iterative_scan": "relaxed_order",
    "hnsw.ef_search": "400",
    "hnsw.max_scan_tuples": "20000",
}

# Nothing but Postgres, or asyncpg on its behalf, raises these.
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
# These show that Postgres is away only while connecting, or when the connection is closed. Over an open one the first
# is a file's or another server's (TimeoutError is an OSError too), and the second a mistake of ours, such as a wrong
# number of arguments.
_AMBIGUOUS_ERRORS = (OSError, asyncpg.InterfaceError)
_CONNECT_ERRORS = (*_UNAVAILABLE_ERRORS, *_AMBIGUOUS_ERRORS)

# What the URL asks for: a mode of TLS that is none, a certificate that is not there, a setting that no server has.
_CONFIGURATION_ERRORS = (
    asyncpg.ClientConfigurationError,
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidParameterValueError,
)

_DATA_ERRORS = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)


@dataclass(frozen=True)
class PoolSize:
    """How many connections a pool keeps open, and how many it may open at most."""

    min_size: int
    max_size: int


@dataclass(frozen=True)
class PoolUsage:
    """How many connections may be opened, how many are in use and idle, and how many callers wait for one."""

    max_size: int
    in_use: int
    idle: int
    waiting: int

    @property
    def open(self) -> int:
        """How many connections there are."""
        return self.in_use + self.idle


class Connections(Protocol):
    """Lends connections: a pool, or a transaction that lends its own."""

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection, for as long as the block runs."""


def pool_size(settings: DatabaseSettings, size: PoolSize) -> PoolSize:
    """The size from `serve_config.yaml`, unless the environment says otherwise."""
    min_size = size.min_size if settings.pool_size is None else settings.pool_size
    max_size = max(size.max_size, min_size) if settings.pool_size is None else min_size
    if settings.max_overflow is not None:
        max_size = min_size + settings.max_overflow
    return PoolSize(min_size, max_size)


class Database:
    """A pool that is opened when it is first needed, so that a replica can start before its database does.

    Whatever shows that Postgres is away, full or not yet set up becomes `DatabaseUnavailableError`. The pool
    replaces broken connections by itself: once Postgres is back, so is the service.
    """

    def __init__(
        self,
        url: str,
        settings: DatabaseSettings,
        size: PoolSize,
        revive: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        """`revive` is called when Postgres does not answer: it starts the embedded one again and returns its URL."""
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
        """A connection of the pool. Waits for a free one for at most the connect timeout."""
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
        """A connection inside of a transaction, committed at the end of the block."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @contextmanager
    def errors(self, connection: Connection | OwnConnection) -> Iterator[None]:
        """Translate what Postgres raises over a connection. The block's own errors pass.

        Raises `DatabaseUnavailableError` where Postgres is away, `InvalidRequestError` for what it cannot hold.
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
                # Not the server's answer: asyncpg could not encode a parameter, so we passed a wrong type.
                raise
            raise InvalidRequestError("The database cannot hold what was sent.") from error

    async def connect(self, *, revive: bool = True) -> OwnConnection:
        """A connection of one's own, outside of the pool. The caller closes it.

        `revive`: start an embedded Postgres that is gone, which may take a while.
        Raises `DatabaseUnavailableError`; `ConfigurationError` for an option of the URL that cannot be used.
        """
        try:
            return await (self._connect() if revive else self._connect_once())
        except _CONFIGURATION_ERRORS as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise ConfigurationError(f"The database's URL asks for what cannot be: {reason}") from error
        except _CONNECT_ERRORS as error:
            raise DatabaseUnavailableError("The database cannot be reached just now.") from error

    def usage(self) -> PoolUsage:
        """How full the pool is."""
        pool = self._pool
        size, idle = (0, 0) if pool is None else (pool.get_size(), pool.get_idle_size())
        return PoolUsage(self._size.max_size, size - idle, idle, self._waiting)

    async def close(self) -> None:
        """Close every connection; those in use are cut off."""
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
        """Fail at once for a moment after a failure: the callers that wait in line learn the same, not slower."""
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
        # The pool takes a closed connection back at once, also from those who hold it.
        return True


async def _register_types(connection: OwnConnection) -> None:
    try:
        await register_vector(connection)
    except ValueError as error:
        raise DatabaseUnavailableError("The database is not set up yet.") from error


async def _keep_session(_: OwnConnection) -> None:
    """Nothing here changes a session, so the round trip that would reset it with every release is saved."""
