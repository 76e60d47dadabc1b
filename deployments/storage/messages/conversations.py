"""Conversations: what a tenant's messages add up to."""

from datetime import datetime

from deployments.errors import NotFoundError
from deployments.schemas.filters.namespaces import path_prefix
from deployments.schemas.messages import Conversation
from deployments.storage.messages.rows import to_conversation
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.tenants.erasure import BATCH, MOST_TERMS

# How many of the newest messages a page looks at, and so many times as many where they are not enough, before it looks
# at all: most conversations have ten messages or fewer, and one may have all the newest of its tenant.
WALKED = 1_000
WALKED_FOR_EACH = 10
WALKED_TIMES = (1, 8)


class ConversationRepository:
    """Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("conversations")
        self._erasure = load_queries("erasure")

    async def page(
        self,
        tenant_id: str,
        limit: int,
        after: tuple[datetime, str] | None,
        namespace: str | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> list[Conversation]:
        """At most `limit` conversations, the most recently used first, behind (last message's time, id).

        `namespace`: only those of it. Of a user or an agent: those with messages of theirs, which alone are counted.
        """
        asked: dict[str, object] = {"tenant_id": tenant_id, "user_id": user_id, "agent_id": agent_id, "limit": limit}
        asked["conversation_prefix"] = path_prefix(namespace)
        asked["before"], asked["before_id"] = after or (None, None)
        async with self._database.connection() as connection:
            for walked in (max(WALKED, WALKED_FOR_EACH * limit) * times for times in WALKED_TIMES):
                rows = [row async for row in self._queries.walk_conversations(connection, walked=walked, **asked)]
                if rows and not rows[0]["short"]:
                    return [to_conversation(row) for row in rows if row["conversation_id"] is not None]
            return [to_conversation(row) async for row in self._queries.group_conversations(connection, **asked)]

    async def get(self, tenant_id: str, conversation_id: str, user_id: str | None = None) -> Conversation:
        """One conversation, or what of it is a user's. Raises `NotFoundError`."""
        async with self._database.connection() as connection:
            row = await self._queries.get_conversation(
                connection, tenant_id=tenant_id, conversation_id=conversation_id, user_id=user_id
            )
        if row is None:
            raise NotFoundError("There is no such conversation.")
        return to_conversation(row)

    async def delete(self, tenant_id: str, conversation_id: str, user_id: str | None = None) -> int:
        """Delete a conversation, or what of it is a user's, a batch at a time. Returns how many had not expired.

        One that is cut off has deleted the oldest: asked again, it deletes the rest. Raises `NotFoundError`.
        """
        deleted, position = 0, (None, None)
        while True:
            async with self._database.connection() as connection:
                row = await self._erasure.erase_messages(
                    connection,
                    tenant_id=tenant_id,
                    conversation_id=conversation_id,
                    user_id=user_id,
                    after=position[0],
                    after_id=position[1],
                    limit=BATCH,
                    most_terms=MOST_TERMS,
                )
            deleted += row["live"]
            position = (row["created_at"], row["id"])
            if row["id"] is None:
                break
        if not deleted:
            raise NotFoundError("There is no such conversation.")
        return int(deleted)
