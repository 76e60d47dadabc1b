"""Reading of a conversation's last turns."""

from datetime import datetime

from deployments.schemas.candidates import Turn
from deployments.schemas.messages import Role
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.zones import zoned


class RecentTurnRepository:
    """Reads the last turns of a conversation."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("recent_turns")

    async def newest(
        self,
        tenant_id: str,
        conversation_id: str,
        limit: int,
        now: datetime,
        *,
        user_id: str | None = None,
        include_archived: bool = False,
        as_of: datetime | None = None,
    ) -> list[Turn]:
        """Return at most `limit` turns, newest first; none for an unknown conversation.

        Only turns that were created by `as_of` and have not expired at `now`.

        `user_id`: only that user's.

        Raises `DatabaseUnavailableError`, `OverloadedError`.
        """
        async with self._database.connection() as connection:
            rows = self._queries.find_recent_turns(
                connection,
                tenant_id=tenant_id,
                conversation_id=conversation_id,
                user_id=user_id,
                include_archived=include_archived,
                as_of=as_of,
                limit=limit,
                now=now,
            )
            return [Turn(**{**zoned(row), "role": Role(row["role"])}) async for row in rows]
