"""What messages said before they were changed. A trigger of the database writes it down."""

from typing import Any
from uuid import UUID

from deployments.errors import NotFoundError
from deployments.history_schemas import MessageVersion
from deployments.schemas import Role
from deployments.storage.database import Database
from deployments.storage.named_queries import load_queries
from deployments.storage.rows import parsed
from deployments.storage.zones import zoned
from deployments.tenancy import ALL, Visible

# A transaction deletes so many: 10,000 of 200 bytes take 50 ms.
PRUNED_AT_ONCE = 10_000


class MessageHistoryRepository:
    """Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("message_history")

    async def page(self, message_id: UUID, limit: int, before: int | None, seen: Visible = ALL) -> list[MessageVersion]:
        """Return at most `limit` versions older than `before`, newest first; None: from the one that is there now on.

        Raises `NotFoundError`.
        """
        async with self._database.connection() as connection:
            found = self._queries.read_history(connection, id=message_id, **seen._asdict(), before=before, limit=limit)
            rows = [row async for row in found]
        if not rows:
            raise NotFoundError("There is no such message.")
        return [_to_version(row) for row in rows if row["version"] is not None]

    async def prune(self, days: int) -> int:
        """Have versions kept for so many days after they were replaced, and delete older ones. Returns how many."""
        pruned, gone = 0, PRUNED_AT_ONCE
        async with self._database.connection() as connection:
            await self._queries.set_history_days(connection, days=days)
            while gone == PRUNED_AT_ONCE:
                gone = int(await self._queries.prune_history(connection, limit=PRUNED_AT_ONCE))
                pruned += gone
        return pruned


def _to_version(row: Any) -> MessageVersion:
    return MessageVersion.model_construct(**{**zoned(parsed(row)), "role": Role(row["role"])})
