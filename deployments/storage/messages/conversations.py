"""Conversations, aggregated from a tenant's messages."""

from datetime import datetime

from deployments.errors import NotFoundError
from deployments.schemas.filters.namespaces import path_prefix
from deployments.schemas.messages import Conversation
from deployments.storage.messages.rows import to_conversation
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.tenants.erasure import BATCH, MOST_TERMS

# A page first reads this many of the newest messages, then `WALKED_FOR_EACH` times as many, then all: most
# conversations have at most ten messages, but one may have all the newest of its tenant.
WALKED = 1_000
WALKED_FOR_EACH = 10
WALKED_TIMES = (1, 8)


class ConversationRepository:
    """Reads and deletes conversations. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

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
        """Return at most `limit` conversations, most recently used first, after (last message's time, id).

        `namespace`: only its conversations. `user_id`, `agent_id`: only conversations with messages of theirs, and only
        those messages are counted.
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
        """Return one conversation, or only a user's part of it. Raises `NotFoundError`."""
        async with self._database.connection() as connection:
            row = await self._queries.get_conversation(
                connection, tenant_id=tenant_id, conversation_id=conversation_id, user_id=user_id
            )
        if row is None:
            raise NotFoundError("There is no such conversation.")
        return to_conversation(row)

    async def delete(self, tenant_id: str, conversation_id: str, user_id: str | None = None) -> int:
        """Delete a conversation, or only a user's part of it, in batches. Return how many messages had not expired.

        An interrupted call has deleted the oldest messages, and a retry deletes the rest. Raises `NotFoundError`.
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
