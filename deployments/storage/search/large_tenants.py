"""Large tenants, whose messages are in the HNSW and GIN indexes, and whose document frequencies are stored."""

from typing import NamedTuple

from deployments.settings import SearchSettings
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries

# The size of a message in an in-memory index, without its vector, names and content.
BYTES_BESIDE_VECTOR = 300
BYTES_OF_NUMBER = 4
# A tenant becomes large at the first share of the memory limit, so that its indexes are ready before it leaves memory,
# and small again at the second.
GROWS_AT, SHRINKS_AT = 0.8, 0.5
# Rows in one transaction, which locks the tenant's statistics for 0.1 to 0.2 s.
MARKED_AT_ONCE = 100


class Border(NamedTuple):
    """Size limits. A large tenant has more messages than `exact`, and more than `messages` or `bytes` in memory."""

    exact: int
    messages: int
    bytes: int
    bytes_of_message: int

    def at(self, share: float) -> "Border":
        """Return the limits scaled by a share."""
        exact, messages, size = (int(share * limit) for limit in self[:3])
        return Border(exact, messages, size, self.bytes_of_message)


def expected_bytes(dimensions: int) -> int:
    """Return a message's size in an in-memory index in bytes, without names and content."""
    return BYTES_OF_NUMBER * dimensions + BYTES_BESIDE_VECTOR


def border(settings: SearchSettings, dimensions: int) -> Border:
    """Return the limits beyond which a tenant fits neither into memory nor an exact scan by SQL.

    No in-memory index takes more than half of the memory. Without memory, only `exact_limit` decides.
    """
    messages = settings.index_messages if settings.index_bytes else 0
    return Border(settings.exact_limit, messages, settings.index_bytes // 2, expected_bytes(dimensions))


class Changed(NamedTuple):
    """Tenants that started to grow, and to shrink."""

    growing: list[str]
    leaving: list[str]


class Step(NamedTuple):
    """The number of messages of a tenant that were marked, and whether the tenant is finished."""

    tenant_id: str
    state: str
    marked: int
    finished: bool


class LargeTenantRepository:
    """Stores the states of large tenants. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database, settings: SearchSettings) -> None:
        self._database = database
        self._settings = settings
        self._queries = load_queries("large_tenants")

    async def notice(self) -> Changed:
        """Start to grow tenants beyond the limits, and to shrink those far below."""
        async with self._database.connection() as connection:
            space = await load_queries("schema").embedding_space(connection)
            if space is None:
                return Changed([], [])
            limits = border(self._settings, space["dimensions"])
            grow, shrink = (limits.at(share)._asdict() for share in (GROWS_AT, SHRINKS_AT))
            growing = [row["tenant_id"] async for row in self._queries.grow_tenants(connection, **grow)]
            leaving = [row["tenant_id"] async for row in self._queries.shrink_tenants(connection, **shrink)]
            # A separate statement, so that the states are committed before it.
            await self._queries.note_writers(connection)
        return Changed(growing, leaving)

    async def step(self, but_not: list[str]) -> Step | None:
        """Mark the next messages of a growing or shrinking tenant that is not in `but_not`; None if there is none.

        Concurrent callers process different tenants. A step that marks nothing tries to finish the tenant.
        """
        async with self._database.transaction() as connection:
            tenant = await self._queries.lock_unfinished(connection, but_not=but_not)
            return None if tenant is None else await self._step(connection, tenant["tenant_id"], tenant["state"])

    async def _step(self, connection: Connection, tenant_id: str, state: str) -> Step:
        marked = await self._queries.mark_next(
            connection, tenant_id=tenant_id, indexed=state == "growing", limit=MARKED_AT_ONCE
        )
        finished = not marked and await self._queries.finish_tenant(connection, tenant_id=tenant_id)
        return Step(tenant_id, state, marked, bool(finished))
