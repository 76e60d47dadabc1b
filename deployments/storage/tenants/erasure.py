"""Erasure of all data of a tenant, of one of its conversations, or of one of its users."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from deployments.errors import NotFoundError
from deployments.schemas.erasure import Erasure, ErasureStatus
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries

# Messages, and their terms, erased in one transaction, which locks the counts of their terms.
BATCH = 500
MOST_TERMS = 100_000
PLANNED_BATCH = 5_000
NOTHING = {"messages": 0, "vectors": 0, "pending_embeddings": 0, "idempotency_keys": 0, "revoked_keys": 0}

Counts = Mapping[str, int]


@dataclass(frozen=True)
class ErasureOrder:
    """The scope of an erasure. Without a conversation and a user: the whole tenant.

    `revoke_keys`: also revoke the API keys of the tenant or the user, if all of it is erased. `spared`: the prefix of
    the key that is revoked last, so that a caller with this key can retry.
    """

    tenant_id: str
    requested_by: str
    conversation_id: str | None = None
    user_id: str | None = None
    revoke_keys: bool = True
    spared: str | None = None

    @property
    def whole_tenant(self) -> bool:
        """Return whether everything of the tenant is erased."""
        return self.conversation_id is None and self.user_id is None

    @property
    def revokes(self) -> bool:
        """Return whether keys are revoked. A conversation has no keys."""
        return self.revoke_keys and self.conversation_id is None


class ErasureRepository:
    """Erases in short transactions, each of which updates the receipt.

    If it is killed, a retry erases the rest. Errors of every method:
    `DatabaseUnavailableError`, `OverloadedError`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("erasure")

    async def latest_of_user(self, tenant_id: str, user_id: str) -> Erasure:
        """Return the latest receipt of a user. Raises `NotFoundError`."""
        async with self._database.connection() as connection:
            row = await self._queries.latest_user_erasure(connection, tenant_id=tenant_id, user_id=user_id)
            versions = await self._queries.erased_versions(connection, id=_found(row)["id"])
        return _to_erasure(row, versions)

    async def latest(self, tenant_id: str, conversation_id: str | None = None) -> Erasure:
        """Return the latest receipt of a tenant, or of one of its conversations. Raises `NotFoundError`."""
        async with self._database.connection() as connection:
            row = await self._queries.latest_erasure(connection, tenant_id=tenant_id, conversation_id=conversation_id)
            versions = await self._queries.erased_versions(connection, id=_found(row)["id"])
        return _to_erasure(row, versions)

    async def erase(
        self, order: ErasureOrder, until: float | None = None, erased: Callable[[int], None] = lambda _count: None
    ) -> Erasure:
        """Erase until nothing is left, or until the deadline `until` of the monotonic clock. Return the receipt.

        A completed erasure has erased everything that was stored before the call; what is stored meanwhile may stay.
        `erased` is called with the number of messages of each batch.
        """
        async with self._database.connection() as connection:
            row = await self._begin(connection, order)
        work = _Work(self._database, self._queries, order, row["id"])
        for step in (work.revoke_keys, work.erase_messages, work.erase_idempotency_keys, work.erase_planned):
            if not await step(until, erased):
                return await work.receipt()
        await work.finish()
        return await work.receipt()

    async def _begin(self, connection: Connection, order: ErasureOrder) -> Mapping[str, Any]:
        asked = {"id": uuid7(), "tenant_id": order.tenant_id, "requested_by": order.requested_by}
        begun = (
            self._queries.begin_erasure(connection, conversation_id=order.conversation_id, **asked)
            if order.user_id is None
            else self._queries.begin_user_erasure(connection, user_id=order.user_id, **asked)
        )
        row: Mapping[str, Any] = await begun
        return row


class _Work:
    """One running erasure. Each step returns whether it finished before the deadline."""

    def __init__(self, database: Database, queries: Any, order: ErasureOrder, erasure_id: UUID) -> None:
        self._database = database
        self._queries = queries
        self._languages = load_queries("tenant_languages")
        self._order = order
        self._id = erasure_id

    async def receipt(self) -> Erasure:
        async with self._database.transaction() as connection:
            row = await self._queries.lock_erasure(connection, id=self._id)
            versions = await self._queries.erased_versions(connection, id=self._id)
        return _to_erasure({**row, "user_id": self._order.user_id}, versions)

    async def revoke_keys(self, _until: float | None, _erased: Callable[[int], None]) -> bool:
        """Revoke keys first: their holders could otherwise store again what is being erased."""
        if self._order.revokes:
            await self._in_turn(lambda connection: self._revoke(connection, self._order.spared))
        return True

    async def erase_messages(self, until: float | None, erased: Callable[[int], None]) -> bool:
        """Erase messages from the oldest to the newest, and repeat until none is left."""
        position: Mapping[str, Any] | None = None
        while True:
            counts = await self._in_turn(partial(self._erase_batch, after=position))
            if counts is None or (counts["id"] is None and position is None):
                return True
            erased(counts["messages"])
            position = counts if counts["id"] is not None else None
            if _is_over(until):
                return False

    async def erase_idempotency_keys(self, until: float | None, _erased: Callable[[int], None]) -> bool:
        while self._order.whole_tenant:
            counts = await self._in_turn(self._erase_keys)
            if counts is None or not counts["keys"]:
                break
            if _is_over(until):
                return False
        return True

    async def erase_planned(self, until: float | None, _erased: Callable[[int], None]) -> bool:
        while self._order.whole_tenant and await self._in_turn(self._erase_planned_batch):
            if _is_over(until):
                return False
        return True

    async def finish(self) -> None:
        async def last(connection: Connection) -> Counts:
            await self._queries.erase_empty_statistics(connection, tenant_id=self._order.tenant_id)
            if self._order.whole_tenant:
                await self._queries.erase_retention_policy(connection, tenant_id=self._order.tenant_id)
                await self._languages.erase_language(connection, tenant_id=self._order.tenant_id)
            await self._queries.finish_erasure(connection, id=self._id)
            if self._order.revokes:
                return await self._revoke(connection, None)
            return {}

        await self._in_turn(last)

    async def _in_turn(self, do: Callable[[Connection], Any]) -> Any:
        """Run `do` in a transaction that updates the receipt. None if another caller has finished the erasure."""
        async with self._database.transaction() as connection:
            row = await self._queries.lock_erasure(connection, id=self._id)
            if row["finished_at"] is not None:
                return None
            counts = await do(connection)
            noted = {name: counts.get(name, 0) for name in NOTHING}
            await self._queries.add_to_erasure(connection, id=self._id, **noted)
            if versions := counts.get("earlier_versions"):
                await self._queries.add_erased_versions(connection, id=self._id, versions=versions)
            return counts

    async def _revoke(self, connection: Connection, spared: str | None) -> Counts:
        revoked = await self._queries.revoke_keys_of_tenant(
            connection, tenant_id=self._order.tenant_id, user_id=self._order.user_id, spared=spared
        )
        return {"revoked_keys": revoked}

    async def _erase_batch(self, connection: Connection, after: Mapping[str, Any] | None) -> Mapping[str, Any]:
        row = await self._queries.erase_messages(
            connection,
            tenant_id=self._order.tenant_id,
            conversation_id=self._order.conversation_id,
            user_id=self._order.user_id,
            after=after and after["created_at"],
            after_id=after and after["id"],
            limit=BATCH,
            most_terms=MOST_TERMS,
        )
        return dict(row)

    async def _erase_keys(self, connection: Connection) -> Counts:
        row = await self._queries.erase_idempotency_keys(connection, tenant_id=self._order.tenant_id, limit=BATCH)
        return dict(row)

    async def _erase_planned_batch(self, connection: Connection) -> Counts:
        gone = await self._queries.erase_planned(connection, tenant_id=self._order.tenant_id, limit=PLANNED_BATCH)
        return {"planned": gone} if gone else {}


def _is_over(until: float | None) -> bool:
    return until is not None and monotonic() >= until


def _found(row: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if row is None:
        raise NotFoundError("There is no receipt of an erasure.")
    return row


def _to_erasure(row: Mapping[str, Any], earlier_versions: int | None) -> Erasure:
    status = ErasureStatus.UNFINISHED if row["finished_at"] is None else ErasureStatus.COMPLETED
    return Erasure(**row, status=status, earlier_versions=earlier_versions or 0)
