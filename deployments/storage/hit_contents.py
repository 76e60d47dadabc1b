"""What an index in memory does not hold of messages: long contents."""

from collections.abc import Sequence
from uuid import UUID

from deployments.storage.database import Connections
from deployments.storage.named_queries import load_queries


class HitContents:
    """Reads contents. Raises `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Connections) -> None:
        self._database = database
        self._queries = load_queries("hit_contents")

    async def read(self, tenant_id: str, ids: Sequence[UUID]) -> dict[UUID, str]:
        """Return the contents of those of the messages that there are."""
        async with self._database.connection() as connection:
            rows = self._queries.read_contents(connection, tenant_id=tenant_id, ids=list(ids))
            return {row["id"]: row["content"] async for row in rows}
