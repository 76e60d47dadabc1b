"""Usage of tenants, and the check of their quotas."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Protocol

from deployments.errors import ByteQuotaError, EmbeddingQuotaError, MemoryLayerError, MessageQuotaError
from deployments.schemas.usage import Quotas, Usage
from deployments.settings import QuotaSettings
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries


class Counted(Protocol):
    """A message or a fact that counts against quotas."""

    @property
    def tenant_id(self) -> str:
        """Return the tenant."""

    @property
    def content(self) -> str:
        """Return the content."""


class UsageRepository:
    """Reads usage."""

    def __init__(self, database: Database, quotas: QuotaSettings) -> None:
        self._database = database
        self._quotas = Quotas(**quotas.model_dump())
        self._queries = load_queries("usage")

    async def get(self, tenant_id: str, user_id: str | None = None) -> Usage:
        """Return the usage of a tenant or a user, with zeros if nothing is stored yet.

        Raises `DatabaseUnavailableError`, `OverloadedError`.
        """
        async with self._database.connection() as connection:
            if user_id is not None:
                row = await self._queries.get_user_usage(connection, tenant_id=tenant_id, user_id=user_id)
                return Usage(tenant_id=tenant_id, user_id=user_id, **row, embedded_today=None, quotas=self._quotas)
            (row,) = [row async for row in self._queries.get_usage(connection, tenant_ids=[tenant_id])]
        return Usage(**row, quotas=self._quotas)


class QuotaGate:
    """Checks quotas in the transaction that stores messages.

    The check is exact under concurrency: it serializes the transactions of one tenant. Pending embeddings count as
    embedded today, so that everything that is admitted can be embedded today.
    """

    def __init__(self, quotas: QuotaSettings) -> None:
        self._quotas = quotas
        self._queries = load_queries("usage")

    async def admit(self, connection: object, messages: Sequence[Counted]) -> list[MemoryLayerError | None]:
        """Return None for each admitted message or else an error, in order. A later, smaller one may still be admitted.

        Errors: `MessageQuotaError`, `ByteQuotaError`, `EmbeddingQuotaError`.
        """
        left = await self._left(connection, {message.tenant_id for message in messages})
        return [left[message.tenant_id].take(1, _size(message.content), 1) for message in messages]

    async def admit_change(
        self, connection: object, tenant_id: str, before: str, after: str, *, waits: bool
    ) -> MemoryLayerError | None:
        """Check a change of content, which is embedded again. `waits`: its embedding is pending already."""
        left = (await self._left(connection, [tenant_id]))[tenant_id]
        return left.take(0, _size(after) - _size(before), 0 if waits else 1)

    async def _left(self, connection: object, tenant_ids: Iterable[str]) -> dict[str, "_Left"]:
        """Lock the usage of tenants until the transaction ends, and return what their quotas leave."""
        tenants = list(tenant_ids)
        await self._queries.lock_usage(connection, tenant_ids=tenants)
        rows = self._queries.get_usage(connection, tenant_ids=tenants)
        return {
            row["tenant_id"]: _Left(
                self._quotas, row["messages"], int(row["bytes"]), row["embedded_today"] + row["pending_embeddings"]
            )
            async for row in rows
        }


class _Left:
    """The rest of one tenant's quotas: messages, bytes of content in UTF-8, and embeddings today."""

    def __init__(self, quotas: QuotaSettings, messages: int, size: int, embeddings: int) -> None:
        self._quotas = quotas
        self._messages = messages
        self._size = size
        self._embeddings = embeddings

    def take(self, messages: int, size: int, embeddings: int) -> MemoryLayerError | None:
        """Use some of it. If too little is left, use nothing and return the error."""
        refusal = self._refusal(messages, size, embeddings)
        if refusal is None:
            self._messages += messages
            self._size += size
            self._embeddings += embeddings
        return refusal

    def _refusal(self, messages: int, size: int, embeddings: int) -> MemoryLayerError | None:
        quotas = self._quotas
        if _exceeds(self._messages, messages, quotas.messages):
            details = {"quota": quotas.messages, "used": self._messages}
            return MessageQuotaError("The tenant has stored as many messages as it may: delete some.", details)
        if _exceeds(self._size, size, quotas.bytes):
            details = {"quota": quotas.bytes, "used": self._size, "asked": size}
            return ByteQuotaError("The tenant may not store so many more bytes: delete some messages.", details)
        if _exceeds(self._embeddings, embeddings, quotas.embeddings_per_day):
            details = {"quota": quotas.embeddings_per_day, "used": self._embeddings}
            message = "The tenant has had as many texts embedded today as it may: try again tomorrow (UTC)."
            return EmbeddingQuotaError(message, details, _seconds_until_midnight(datetime.now(UTC)))
        return None


def _exceeds(used: int, more: int, quota: int | None) -> bool:
    """Return whether more usage would exceed a quota. No more usage is always allowed, even above a lowered quota."""
    return quota is not None and more > 0 and used + more > quota


def _size(content: str) -> int:
    return len(content.encode())


def _seconds_until_midnight(now: datetime) -> float:
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    return math.ceil((midnight - now).total_seconds())
