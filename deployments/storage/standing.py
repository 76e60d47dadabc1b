"""How things stand in the database, over all tenants."""

from dataclasses import dataclass

from deployments.storage.database import Database
from deployments.storage.named_queries import load_queries


@dataclass(frozen=True)
class Standing:
    """Messages that wait for their embedding or were given up, since when the oldest waits, and how many tenants."""

    pending_embeddings: int
    failed_embeddings: int
    oldest_pending_seconds: float
    tenants: int


class StandingRepository:
    """Reads it. Costs a scan of what waits: for once in many seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("standing")

    async def read(self) -> Standing:
        """How things stand now. Raises `DatabaseUnavailableError`, `OverloadedError`."""
        async with self._database.connection() as connection:
            return Standing(**await self._queries.read_standing(connection))
