"""Users of tenants: what the messages that bear their names add up to."""

from deployments.schemas.users import User
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries


class UserRepository:
    """Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("users")

    async def page(self, tenant_id: str, limit: int, after: str | None) -> list[User]:
        """Return at most `limit` of a tenant's users, in the order of their names, behind the name `after`."""
        async with self._database.connection() as connection:
            rows = self._queries.list_users(connection, tenant_id=tenant_id, limit=limit, after=after)
            return [User(**row) async for row in rows]
