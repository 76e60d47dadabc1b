"""Read-only inspection of a Postgres, for the doctor."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from deployments.errors import ConfigurationError, DatabaseUnavailableError
from deployments.settings import DatabaseSettings
from deployments.storage.embeddings.spaces import Spaces, to_spaces
from deployments.storage.postgres.database import Database, OwnConnection, PoolSize
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.schema import keys_exist, schema_revision
from deployments.storage.postgres.unreachable import reason_of

# The indexes that the migrations create, including those of primary keys and unique columns.
INDEXES = frozenset(
    {
        "alembic_version_pkc",
        "analysis_policy_pkey",
        "api_keys_changed_at",
        "api_keys_created_at",
        "api_keys_pkey",
        "api_keys_prefix_key",
        "api_keys_tenant",
        "embedding_jobs_due",
        "embedding_jobs_failed",
        "embedding_jobs_pkey",
        "embedding_jobs_tenant_due",
        "embedding_space_pkey",
        "erased_versions_pkey",
        "erasures_pkey",
        "erasures_tenant",
        "erasures_unfinished",
        "fact_sources_of_fact",
        "fact_sources_pkey",
        "former_embedding_spaces_pkey",
        "idempotency_keys_created_at",
        "idempotency_keys_message",
        "idempotency_keys_pkey",
        "large_tenants_pkey",
        "message_change_marks_pkey",
        "message_changes_of_tenant",
        "message_history_pkey",
        "message_history_policy_pkey",
        "message_history_until",
        "messages_agent",
        "messages_archived_at",
        "messages_archived_by",
        "messages_conversation_time",
        "messages_expires_at",
        "messages_external_id",
        "messages_facts",
        "messages_pkey",
        "messages_superseded_by",
        "messages_tenant_time",
        "messages_terms",
        "messages_unanalyzed",
        "messages_user",
        "reanalyses_pkey",
        "retention_items_pkey",
        "retention_policies_pkey",
        "retention_runs_created_at",
        "retention_runs_pkey",
        "retention_runs_tenant",
        "retention_runs_unfinished",
        "retention_schedule_pkey",
        "retention_tenants_pkey",
        "tenant_languages_pkey",
        "tenant_statistics_pkey",
        "tenant_terms_pkey",
        "tenant_usage_pkey",
        "user_erasures_pkey",
        "user_erasures_unfinished",
        "user_erasures_user",
    }
)
# The index of the active embedding space, which the first start creates, and that of the other space.
VECTOR_INDEX, OTHER_VECTOR_INDEX = "messages_embedding", "messages_other_embedding"
CONNECT_SECONDS, STATEMENT_SECONDS = 10.0, 5.0
# Storing and deleting messages reads and writes all of these.
WRITTEN_TABLES = (
    "embedding_jobs",
    "fact_sources",
    "large_tenants",
    "message_change_marks",
    "message_changes",
    "message_history",
    "messages",
    "tenant_statistics",
    "tenant_terms",
    "tenant_usage",
)
LARGE_TABLES = ("messages", "embedding_jobs", "tenant_terms", "retention_items")


@dataclass(frozen=True)
class Server:
    """A server. `version_number`: 180000 for 18.0. `clock`: its time, read last. `pooled`: a pooler is in between."""

    version_number: int
    version: str
    clock: datetime
    read_only: bool
    bytes: int
    plan_cache_mode: str
    pooled: bool


@dataclass(frozen=True)
class Extension:
    """pgvector's version in the database, and the version that the server can install, or None."""

    installed: str | None
    available: str | None


@dataclass(frozen=True)
class ConnectionLimits:
    """The connection limits of the server, our role and our database (-1: no limit), and the connections of others."""

    server: int
    role: int
    database: int
    others: int

    @property
    def allowed(self) -> int:
        """Return the lowest limit."""
        return min(limit for limit in (self.server, self.role, self.database) if limit >= 0)


@dataclass(frozen=True)
class Rights:
    """Our role, quoted; schemas of our tables that it may not use; tables that it may not both read and write."""

    role: str
    schemas: list[str]
    tables: list[str]


@dataclass(frozen=True)
class Index:
    """An index. An unusable one was left unfinished, or is being built."""

    name: str
    usable: bool
    definition: str


@dataclass(frozen=True)
class Reembedding:
    """Messages with a vector in the active and in the other space; a replica's problem; whether a job runs."""

    embedded: int
    filled: int
    trouble: str | None
    running: bool


@dataclass(frozen=True)
class LongTransaction:
    """A transaction, identified by its process, or by its name if it is prepared."""

    who: str
    application: str
    state: str | None
    seconds: float


@dataclass(frozen=True)
class BacklogFacts:
    """Pending and failed messages, and how long the oldest due message has waited."""

    pending: int
    failed: int
    due_seconds: float


@asynccontextmanager
async def inspecting(url: str, settings: DatabaseSettings) -> AsyncIterator["Inspection"]:
    """Open a connection for inspection. Raises `DatabaseUnavailableError`, whose message states the cause."""
    # Passed when connecting, not set in the session: behind a pooler, session settings would leak to the next client.
    time_limit = min(settings.connect_timeout_seconds, CONNECT_SECONDS)
    brief = settings.model_copy(
        update={"statement_timeout_seconds": STATEMENT_SECONDS, "connect_timeout_seconds": time_limit}
    )
    database = Database(url, brief, PoolSize(min_size=0, max_size=1))
    try:
        connection = await database.connect()
    except ConfigurationError as error:
        raise DatabaseUnavailableError(f"{error.message}.") from None
    except Exception as error:  # noqa: BLE001 - the driver lets through what urllib, codecs and sockets raise
        reason = reason_of(error.__cause__ or error)
        # Not `from error`: errors of other libraries may contain the URL.
        raise DatabaseUnavailableError(f"The database cannot be reached: {reason}.") from None
    try:
        yield Inspection(connection)
    finally:
        connection.terminate()


@contextmanager
def explained() -> Iterator[None]:
    """Translate Postgres' errors in the block into user-safe errors.

    Raises `ConfigurationError` if our role lacks a privilege, else `DatabaseUnavailableError`.
    """
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigurationError(f"The database's role may not look: {reason_of(error)}.") from None
    except asyncpg.PostgresError as error:
        raise DatabaseUnavailableError(f"The database does not say: {reason_of(error)}.") from None
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise DatabaseUnavailableError(f"The connection to the database broke: {type(error).__name__}.") from None


class Inspection:
    """A read-only connection with short timeouts."""

    def __init__(self, connection: OwnConnection) -> None:
        self._connection = connection
        self._queries = load_queries("inspection")

    async def server(self) -> Server:
        """Return the server's properties."""
        row = dict(await self._queries.inspect_server(self._connection))
        # A pooler reports a process id of its own.
        pooled = row.pop("process") != self._connection.get_server_pid()
        return Server(**row, pooled=pooled)

    async def switched_off(self) -> list[str]:
        """Return the settings for durability or vacuum that are off."""
        return [row["name"] async for row in self._queries.inspect_switches(self._connection)]

    async def extension(self) -> Extension:
        """Return pgvector's versions."""
        return Extension(**await self._queries.inspect_extension(self._connection))

    async def connection_limits(self) -> ConnectionLimits:
        """Return the connection limits."""
        return ConnectionLimits(**await self._queries.inspect_connections(self._connection))

    async def rights(self) -> Rights:
        """Return the privileges that our role lacks."""
        return Rights(**await self._queries.inspect_rights(self._connection, tables=list(WRITTEN_TABLES)))

    async def revision(self) -> str | None:
        """Return the schema's revision, or None if no migration ever ran."""
        return await schema_revision(self._connection)

    async def indexes(self) -> list[Index]:
        """Return all indexes."""
        return [Index(**row) async for row in self._queries.inspect_indexes(self._connection)]

    async def spaces(self) -> Spaces | None:
        """Return the embedding spaces, or None before the first start."""
        row = await load_queries("embedding_spaces").get_spaces(self._connection)
        return row and to_spaces(row)

    async def reembedding(self) -> Reembedding:
        """Return the progress of the second space."""
        return Reembedding(**await self._queries.inspect_reembedding(self._connection))

    async def never_analyzed(self, rows: int, tables: Sequence[str] = LARGE_TABLES) -> list[str]:
        """Return the tables that have more than `rows` rows and no statistics."""
        found = self._queries.inspect_never_analyzed(self._connection, tables=list(tables), rows=rows)
        return [row["name"] async for row in found]

    async def long_transactions(self, seconds: float) -> list[LongTransaction]:
        """Return the five longest transactions that have run for more than `seconds`."""
        found = self._queries.inspect_long_transactions(self._connection, seconds=seconds)
        return [LongTransaction(**row) async for row in found]

    async def hidden_sessions(self) -> int:
        """Return how many other sessions of the database our role may not inspect."""
        return int(await self._queries.inspect_hidden_sessions(self._connection))

    async def backlog(self) -> BacklogFacts:
        """Return the backlog of embedding jobs."""
        return BacklogFacts(**await self._queries.inspect_backlog(self._connection))

    async def has_keys(self) -> bool:
        """Return whether an API key was ever created."""
        return await keys_exist(self._connection)
