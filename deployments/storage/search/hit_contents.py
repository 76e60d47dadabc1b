"""Data of hits that in-memory indexes lack: long contents, and the successors of facts."""

from collections.abc import Sequence
from uuid import UUID

from deployments.storage.postgres.database import Connections
from deployments.storage.postgres.named_queries import load_queries


class HitContents:
    """Reads contents and successors. Raises `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Connections) -> None:
        self._database = database
        self._queries = load_queries("hit_contents")
        self._facts = load_queries("facts")

    async def read(self, tenant_id: str, ids: Sequence[UUID]) -> dict[UUID, str]:
        """Return the contents of those messages that exist, by id."""
        async with self._database.connection() as connection:
            rows = self._queries.read_contents(connection, tenant_id=tenant_id, ids=list(ids))
            return {row["id"]: row["content"] async for row in rows}

    async def successors(self, tenant_id: str, ids: Sequence[UUID]) -> dict[UUID, UUID]:
        """Return the successors of facts, and theirs, up to the valid facts: by id, the id of the next."""
        async with self._database.connection() as connection:
            rows = self._facts.find_successors(connection, tenant_id=tenant_id, ids=list(ids))
            return {row["id"]: row["superseded_by"] async for row in rows}
