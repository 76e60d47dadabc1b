"""Earlier versions of messages and facts, recorded by a database trigger."""

from typing import Any
from uuid import UUID

from deployments.errors import NotFoundError
from deployments.schemas.facts import Kind
from deployments.schemas.history import FactVersion, MessageVersion
from deployments.schemas.messages import Role
from deployments.storage.messages.rows import parsed
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.zones import zoned
from deployments.tenancy import ALL, Visible

# Versions deleted in one transaction: 10,000 of 200 bytes take 50 ms.
PRUNED_AT_ONCE = 10_000


class MessageHistoryRepository:
    """Reads and prunes versions. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("message_history")

    async def page(self, message_id: UUID, limit: int, before: int | None, seen: Visible = ALL) -> list[MessageVersion]:
        """Return at most `limit` versions older than `before`, newest first. None: start with the current version.

        Raises `NotFoundError`.
        """
        return list(map(_to_version, await self._read(Kind.MESSAGE, message_id, limit, before, seen)))

    async def page_of_fact(
        self, fact_id: UUID, limit: int, before: int | None, seen: Visible = ALL
    ) -> list[FactVersion]:
        """Return the same for a fact. Raises `NotFoundError`."""
        return list(map(_to_fact_version, await self._read(Kind.FACT, fact_id, limit, before, seen)))

    async def _read(self, kind: Kind, id_: UUID, limit: int, before: int | None, seen: Visible) -> list[dict[str, Any]]:
        async with self._database.connection() as connection:
            found = self._queries.read_history(
                connection, id=id_, kind=kind, **seen._asdict(), before=before, limit=limit
            )
            rows = [zoned(parsed(row)) if row["version"] is not None else None async for row in found]
        if not rows:
            raise NotFoundError(f"There is no such {kind}.")
        return [row for row in rows if row is not None]

    async def prune(self, days: int) -> int:
        """Set how many days replaced versions are kept, and delete older ones. Return how many."""
        pruned, gone = 0, PRUNED_AT_ONCE
        async with self._database.connection() as connection:
            await self._queries.set_history_days(connection, days=days)
            while gone == PRUNED_AT_ONCE:
                gone = int(await self._queries.prune_history(connection, limit=PRUNED_AT_ONCE))
                pruned += gone
        return pruned


def _to_version(row: dict[str, Any]) -> MessageVersion:
    return MessageVersion.model_construct(**{**row, "role": Role(row["role"])})


def _to_fact_version(row: dict[str, Any]) -> FactVersion:
    return FactVersion.model_construct(
        **{**row, "subject": row["name"], "conversation_id": row["conversation_id"] or None}
    )
