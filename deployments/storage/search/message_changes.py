"""The change feed of messages, and the full load of an in-memory index."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from deployments.schemas.vectors import EmbeddingSpace
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries

# Messages per read: their vectors of 256 dimensions are 0.5 MB.
READ_AT_ONCE = 1_000
# A reader that polls less often than this has to load everything again.
KEPT_SECONDS = 3_600.0


class MessageRow(NamedTuple):
    """A message in an index: the columns of `read_messages`, in order.

    `metadata`: JSON. `importance`: 0 to 1, None until scored. `embedding`: in `halfvec_send`'s format, None if missing.
    `terms`: a tsvector's text. `utc_offset`: of the sender's zone, in minutes.
    `external_id`: the caller's own name for it.
    `fact`: in `described_fact`'s format, None for a message.
    """

    id: UUID
    conversation_id: str
    role: str
    name: str | None
    content: str
    metadata: str
    created_at: datetime
    utc_offset: int
    importance: float | None
    embedding: bytes | None
    terms: str
    term_count: int
    user_id: str | None = None
    agent_id: str | None = None
    external_id: str | None = None
    expires_at: datetime | None = None
    fact: str | None = None


_COLUMNS = len(MessageRow._fields)


class Position(NamedTuple):
    """The position up to which a tenant was read: a snapshot of Postgres, and the server run that it belongs to."""

    tenant_id: str
    position: str


class Changes(NamedTuple):
    """The changes since a position.

    `position`: where to continue. `space`: the active embedding space. `ids`: of the messages that were stored, changed
    or deleted, each once. `gap`: the changes are unknown, so that everything must be loaded again.
    """

    position: str
    space: EmbeddingSpace
    ids: Sequence[UUID]
    gap: bool


@dataclass(frozen=True)
class TenantLoad:
    """All messages of a tenant at a position. `messages`: their approximate number."""

    position: str
    space: EmbeddingSpace
    messages: int
    batches: AsyncIterator[Sequence[MessageRow]]


class MessageChangeRepository:
    """Reads the change feed. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("message_changes")

    async def since(self, positions: Sequence[Position]) -> list[Changes]:
        """Return the changes since each position, in one round trip, including all commits before the call."""
        async with self._database.connection() as connection:
            row = await self._queries.read_changes(
                connection,
                tenant_ids=[each.tenant_id for each in positions],
                positions=[each.position for each in positions],
            )
        ids: list[list[UUID]] = [[] for _ in positions]
        for place, message_id in zip(row["places"], row["ids"], strict=True):
            ids[place - 1].append(message_id)
        space, gaps = EmbeddingSpace(row["model"], row["dimensions"]), set(row["gaps"])
        return [Changes(row["position"], space, each, place in gaps) for place, each in enumerate(ids, start=1)]

    async def read(
        self, tenant_id: str, ids: Sequence[UUID], space: EmbeddingSpace, *, include_archived: bool
    ) -> list[MessageRow] | None:
        """Return those of the messages that exist, or None if `space` is not the active space."""
        async with self._database.connection() as connection:
            rows = self._queries.read_messages(
                connection, tenant_id=tenant_id, ids=list(ids), include_archived=include_archived
            )
            found = [row async for row in rows]
        if any(EmbeddingSpace(row["model"], row["dimensions"]) != space for row in found):
            return None
        return [MessageRow(*row[:_COLUMNS]) for row in found]

    @asynccontextmanager
    async def load(self, tenant_id: str, *, include_archived: bool) -> AsyncIterator[TenantLoad]:
        """Open a snapshot of a tenant's messages for the block."""
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await self._queries.hold_columns(connection)
            row = await self._queries.start_of_load(connection, tenant_id=tenant_id)
            space = EmbeddingSpace(row["model"], row["dimensions"])
            batches = self._batches(connection, tenant_id, include_archived=include_archived)
            yield TenantLoad(row["position"], space, row["messages"], batches)

    async def prune(self) -> int:
        """Delete changes older than `KEPT_SECONDS`. Return the number of deleted rows, one for each statement."""
        async with self._database.transaction() as connection:
            await self._queries.mark_position(connection)
            return int(await self._queries.prune_changes(connection, kept_seconds=KEPT_SECONDS))

    async def _batches(
        self, connection: Connection, tenant_id: str, *, include_archived: bool
    ) -> AsyncIterator[Sequence[MessageRow]]:
        reading: Any = self._queries.tenant_messages_cursor(
            connection, tenant_id=tenant_id, include_archived=include_archived
        )
        async with reading as factory:
            cursor = await factory
            while rows := await cursor.fetch(READ_AT_ONCE):
                yield [MessageRow(*row) for row in rows]
