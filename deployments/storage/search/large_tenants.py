"""Large tenants: those whose messages the HNSW and GIN indexes hold, and whose document frequencies are kept."""

from typing import NamedTuple

from deployments.settings import SearchSettings
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries

# What a message takes in an index in memory besides its vector, names and contents aside.
BYTES_BESIDE_VECTOR = 300
BYTES_OF_NUMBER = 4
# A tenant grows at the first share of what memory holds, so that its indexes are ready before it leaves memory, and
# shrinks at the second.
GROWS_AT, SHRINKS_AT = 0.8, 0.5
# Rows in one transaction, which holds the tenant's statistics: 0.1 to 0.2 s.
MARKED_AT_ONCE = 100


class Border(NamedTuple):
    """Beyond what a tenant is large: more messages than `exact`, and more than `messages` or `bytes` in memory."""

    exact: int
    messages: int
    bytes: int
    bytes_of_message: int

    def at(self, share: float) -> "Border":
        """Return this share of it."""
        exact, messages, size = (int(share * limit) for limit in self[:3])
        return Border(exact, messages, size, self.bytes_of_message)


def expected_bytes(dimensions: int) -> int:
    """Return what a message takes in an index in memory, names and contents aside."""
    return BYTES_OF_NUMBER * dimensions + BYTES_BESIDE_VECTOR


def border(settings: SearchSettings, dimensions: int) -> Border:
    """Return the border between tenants that memory holds or SQL searches exactly, and large ones.

    No index in memory takes more than half of the room. Without memory `exact_limit` alone decides.
    """
    messages = settings.index_messages if settings.index_bytes else 0
    return Border(settings.exact_limit, messages, settings.index_bytes // 2, expected_bytes(dimensions))


class Changed(NamedTuple):
    """Tenants that began to grow, and to shrink."""

    growing: list[str]
    leaving: list[str]


class Step(NamedTuple):
    """Of which tenant how many messages were marked, and whether it is over."""

    tenant_id: str
    state: str
    marked: int
    finished: bool


class LargeTenantRepository:
    """The states of large tenants. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database, settings: SearchSettings) -> None:
        self._database = database
        self._settings = settings
        self._queries = load_queries("large_tenants")

    async def notice(self) -> Changed:
        """Have tenants grow that are beyond the border, and shrink that are far below it."""
        async with self._database.connection() as connection:
            space = await load_queries("schema").embedding_space(connection)
            if space is None:
                return Changed([], [])
            limits = border(self._settings, space["dimensions"])
            grow, shrink = (limits.at(share)._asdict() for share in (GROWS_AT, SHRINKS_AT))
            growing = [row["tenant_id"] async for row in self._queries.grow_tenants(connection, **grow)]
            leaving = [row["tenant_id"] async for row in self._queries.shrink_tenants(connection, **shrink)]
            # A statement of its own, so that the states are committed.
            await self._queries.note_writers(connection)
        return Changed(growing, leaving)

    async def step(self, but_not: list[str]) -> Step | None:
        """Mark the next messages of a tenant that grows or shrinks. None: there is no other than `but_not`.

        Whoever calls this at the same time works on another tenant. A pass that marks nothing tries to finish.
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
