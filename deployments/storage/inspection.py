"""What there is to know about a Postgres, for whoever looks for what is wrong with it. Nothing is changed."""

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

# What the migrations make, the indexes of primary keys and unique columns included.
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
# Of the active embedding space, which the first start makes, and of the one beside it.
VECTOR_INDEX, OTHER_VECTOR_INDEX = "messages_embedding", "messages_other_embedding"
CONNECT_SECONDS, STATEMENT_SECONDS = 10.0, 5.0
# Whoever stores and deletes messages reads and writes all of these.
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
    """A server. `version_number` is 180000 for 18.0; `clock`: its time, read last; `pooled`: something is between."""

    version_number: int
    version: str
    clock: datetime
    read_only: bool
    bytes: int
    plan_cache_mode: str
    pooled: bool


@dataclass(frozen=True)
class Extension:
    """pgvector's version in the database, and the one that the server could install; None: none."""

    installed: str | None
    available: str | None


@dataclass(frozen=True)
class ConnectionLimits:
    """Connections that the server, our role and our database allow (-1: no limit of its own); what others hold."""

    server: int
    role: int
    database: int
    others: int

    @property
    def allowed(self) -> int:
        """The least of them."""
        return min(limit for limit in (self.server, self.role, self.database) if limit >= 0)


@dataclass(frozen=True)
class Rights:
    """Our role, quoted; schemas with tables of ours that it may not use; tables that it may not both read and write."""

    role: str
    schemas: list[str]
    tables: list[str]


@dataclass(frozen=True)
class Index:
    """An index. One that is not usable was left unfinished, or is being made."""

    name: str
    usable: bool
    definition: str


@dataclass(frozen=True)
class Reembedding:
    """Messages with a vector in the active space and in the other; what a replica complains of; whether a job runs."""

    embedded: int
    filled: int
    trouble: str | None
    running: bool


@dataclass(frozen=True)
class LongTransaction:
    """A transaction by its process, or its name where it is a prepared one."""

    who: str
    application: str
    state: str | None
    seconds: float


@dataclass(frozen=True)
class BacklogFacts:
    """Messages that wait, or were given up; for how long the first that a worker may take waits."""

    pending: int
    failed: int
    due_seconds: float


@asynccontextmanager
async def inspecting(url: str, settings: DatabaseSettings) -> AsyncIterator["Inspection"]:
    """A connection to look around with. Raises `DatabaseUnavailableError`, whose message says why."""
    # Given when it connects, and not set in the session: behind a pooler that would stay for whoever has it next.
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
        # Not `from error`: what others raise may hold the URL.
        raise DatabaseUnavailableError(f"The database cannot be reached: {reason}.") from None
    try:
        yield Inspection(connection)
    finally:
        connection.terminate()


@contextmanager
def explained() -> Iterator[None]:
    """Give what Postgres raises in the block a meaning that may be shown.

    Raises `ConfigurationError` for what our role may not do, `DatabaseUnavailableError` for anything else.
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
    """One connection that only reads, with short limits."""

    def __init__(self, connection: OwnConnection) -> None:
        self._connection = connection
        self._queries = load_queries("inspection")

    async def server(self) -> Server:
        """What it is."""
        row = dict(await self._queries.inspect_server(self._connection))
        # A pooler tells clients a number of its own.
        pooled = row.pop("process") != self._connection.get_server_pid()
        return Server(**row, pooled=pooled)

    async def switched_off(self) -> list[str]:
        """Those settings that keep what is committed, or the tables small, and are off."""
        return [row["name"] async for row in self._queries.inspect_switches(self._connection)]

    async def extension(self) -> Extension:
        """pgvector."""
        return Extension(**await self._queries.inspect_extension(self._connection))

    async def connection_limits(self) -> ConnectionLimits:
        """How many we may open."""
        return ConnectionLimits(**await self._queries.inspect_connections(self._connection))

    async def rights(self) -> Rights:
        """What our role may not do."""
        return Rights(**await self._queries.inspect_rights(self._connection, tables=list(WRITTEN_TABLES)))

    async def revision(self) -> str | None:
        """The schema's; None: no migration ever ran."""
        return await schema_revision(self._connection)

    async def indexes(self) -> list[Index]:
        """All of them."""
        return [Index(**row) async for row in self._queries.inspect_indexes(self._connection)]

    async def spaces(self) -> Spaces | None:
        """The embedding spaces; None before the first start."""
        row = await load_queries("embedding_spaces").get_spaces(self._connection)
        return row and to_spaces(row)

    async def reembedding(self) -> Reembedding:
        """How far the second space is."""
        return Reembedding(**await self._queries.inspect_reembedding(self._connection))

    async def never_analyzed(self, rows: int, tables: Sequence[str] = LARGE_TABLES) -> list[str]:
        """Those of the tables that have more rows than that, and no statistics."""
        found = self._queries.inspect_never_analyzed(self._connection, tables=list(tables), rows=rows)
        return [row["name"] async for row in found]

    async def long_transactions(self, seconds: float) -> list[LongTransaction]:
        """The five that last the longest, of those that last longer than that."""
        found = self._queries.inspect_long_transactions(self._connection, seconds=seconds)
        return [LongTransaction(**row) async for row in found]

    async def hidden_sessions(self) -> int:
        """How many others are in the database of which our role may not know what they do."""
        return int(await self._queries.inspect_hidden_sessions(self._connection))

    async def backlog(self) -> BacklogFacts:
        """What waits for its embedding."""
        return BacklogFacts(**await self._queries.inspect_backlog(self._connection))

    async def has_keys(self) -> bool:
        """Whether an API key was ever made."""
        return await keys_exist(self._connection)
