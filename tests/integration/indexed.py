"""Messages that are written by plain SQL, and what indexes in memory say of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import numpy as np
from prometheus_client import CollectorRegistry

from deployments.search.index.resident import Indexes, Limits
from deployments.search.index.tenant_index import TenantIndex
from deployments.search.instruments import IndexInstruments
from deployments.settings import Settings
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.search.message_changes import MessageChangeRepository

ROOMY = Limits(total_bytes=1 << 30, messages=100_000)
INSERT = """
    INSERT INTO messages (id, tenant_id, conversation_id, role, content, metadata, embedding_status, terms, term_count,
                          created_at, updated_at)
    SELECT id, $1, 'c1', 'user', $3, '{}', 'failed', '''said''', 1, now(), now() FROM unnest($2::uuid[]) AS id
"""
FILL = """
    INSERT INTO messages (id, tenant_id, conversation_id, role, content, metadata, embedding_status, terms, term_count,
                          created_at, updated_at)
    SELECT gen_random_uuid(), $1, 'c' || n % 50, 'user', 'said ' || n, '{}', 'failed', '''said''', 1, now(), now()
    FROM generate_series(1, $2) AS n
"""
# The triggers that count terms and usage: they have the writers of a tenant wait for each other, and take their time.
_COUNTING = """
    SELECT tgname FROM pg_trigger
    WHERE tgrelid = 'messages'::regclass AND NOT tgisinternal AND NOT starts_with(tgname, 'note_changes')
"""


class Said(NamedTuple):
    """What an index tells of a message."""

    content: str
    importance: float | None


class Replica:
    """Indexes as a Search replica has them, with a pool and instruments of their own."""

    def __init__(self, url: str, settings: Settings, limits: Limits = ROOMY) -> None:
        self.database = Database(url, settings.database, PoolSize(min_size=1, max_size=4))
        self.changes = MessageChangeRepository(self.database)
        self.registry = CollectorRegistry()
        self.indexes = Indexes(self.changes, limits, IndexInstruments(self.registry))

    async def index(self, tenant_id: str = "acme", *, archived: bool = False) -> TenantIndex | None:
        """Return the index of a tenant, None where it is too large."""
        resident = await self.indexes.fresh(tenant_id, archived=archived)
        return None if resident is None else resident.index

    async def said(self, tenant_id: str = "acme", *, archived: bool = False) -> dict[UUID, Said]:
        """Return what a search that starts now sees."""
        index = await self.index(tenant_id, archived=archived)
        assert index is not None
        return contents_of(index)

    def counted(self, name: str, **labels: str) -> float:
        """Return an instrument's value."""
        return self.registry.get_sample_value(name, labels) or 0.0

    @property
    def loads(self) -> float:
        """Return how many tenants were read whole."""
        return self.counted("memory_index_loads_total", outcome="loaded")


def contents_of(index: TenantIndex) -> dict[UUID, Said]:
    """Return what an index holds."""
    importances = index.columns.importances
    return {
        index.id_of(slot): Said(
            index.texts[slot].content or "", None if np.isnan(importances[slot]) else float(importances[slot])
        )
        for slot in np.flatnonzero(index.live).tolist()
    }


@asynccontextmanager
async def replicas(url: str, settings: Settings, *limits: Limits) -> AsyncIterator[list[Replica]]:
    """Replicas with these limits, closed at the end of the block."""
    async with AsyncExitStack() as stack:
        each = [Replica(url, settings, limit) for limit in limits]
        for replica in each:
            stack.push_async_callback(replica.database.close)
        yield each


@asynccontextmanager
async def connected(url: str, count: int = 1) -> AsyncIterator[Sequence[Any]]:
    """Connections of someone else, closed at the end of the block."""
    connections = [await asyncpg.connect(url) for _ in range(count)]
    try:
        yield connections
    finally:
        for connection in connections:
            await connection.close()


async def feed_only(connection: Any) -> None:
    """Have writes to messages note themselves in the feed, and count nowhere."""
    for row in await connection.fetch(_COUNTING):
        await connection.execute(f"ALTER TABLE messages DISABLE TRIGGER {row[0]}")
