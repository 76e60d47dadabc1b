"""Conversations: what a tenant's messages add up to."""

from datetime import datetime

from deployments.errors import NotFoundError
from deployments.filters.namespaces import path_prefix
from deployments.schemas import Conversation
from deployments.storage.database import Database
from deployments.storage.erasure import BATCH, MOST_TERMS
from deployments.storage.named_queries import load_queries
from deployments.storage.rows import to_conversation


class ConversationRepository:
    """Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("conversations")
        self._erasure = load_queries("erasure")

    async def page(
        self, tenant_id: str, limit: int, after: tuple[datetime, str] | None, namespace: str | None = None
    ) -> list[Conversation]:
        """At most `limit` conversations, the most recently used first, behind (last message's time, id).

        `namespace`: only those of it.
        """
        before, before_id = after or (None, None)
        async with self._database.connection() as connection:
            rows = self._queries.list_conversations(
                connection,
                tenant_id=tenant_id,
                conversation_prefix=path_prefix(namespace),
                before=before,
                before_id=before_id,
                limit=limit,
            )
            return [to_conversation(row) async for row in rows]

    async def get(self, tenant_id: str, conversation_id: str) -> Conversation:
        """One conversation. Raises `NotFoundError`."""
        async with self._database.connection() as connection:
            row = await self._queries.get_conversation(connection, tenant_id=tenant_id, conversation_id=conversation_id)
        if row is None:
            raise NotFoundError("There is no such conversation.")
        return to_conversation(row)

    async def delete(self, tenant_id: str, conversation_id: str) -> int:
        """Delete a conversation with all of its messages, a batch at a time. Returns how many had not expired.

        One that is cut off has deleted the oldest: asked again, it deletes the rest. Raises `NotFoundError`.
        """
        deleted, position = 0, (None, None)
        while True:
            async with self._database.connection() as connection:
                row = await self._erasure.erase_messages(
                    connection,
                    tenant_id=tenant_id,
                    conversation_id=conversation_id,
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
