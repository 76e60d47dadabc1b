"""Users of tenants, aggregated from their messages."""

from deployments.schemas.users import User
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries


class UserRepository:
    """Lists users. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("users")

    async def page(self, tenant_id: str, limit: int, after: str | None) -> list[User]:
        """Return at most `limit` of a tenant's users, ordered by name, after the name `after`."""
        async with self._database.connection() as connection:
            rows = self._queries.list_users(connection, tenant_id=tenant_id, limit=limit, after=after)
            return [User(**row) async for row in rows]
