"""Expiry of messages: refreshed by reads, and deletion of expired messages."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from time import perf_counter
from typing import Protocol
from uuid import UUID

from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.tenants.erasure import BATCH, MOST_TERMS

# Skip a refresh that gains less than this share of the time to live: each one writes the row, and in-memory indexes
# read it again. So a message with one hour to live is written at most every 36 s, however often it is read.
LEAST_GAIN = 0.01
# The pause after each batch, as a multiple of the time that the batch took.
REST = 1.0


class Given(Protocol):
    """The expiry that a caller gives: a time to live, a time, or neither."""

    @property
    def ttl_seconds(self) -> int | None: ...
    @property
    def expires_at(self) -> datetime | None: ...


def expiry_of(given: Given, now: datetime) -> datetime | None:
    """Return when a message expires, from its time to live starting `now` or its given time, or None."""
    return given.expires_at if given.ttl_seconds is None else now + timedelta(seconds=given.ttl_seconds)


class ExpiryRepository:
    """Refreshes and deletes messages. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("expiry")

    async def refresh(self, tenant_id: str, ids: Sequence[UUID]) -> dict[UUID, datetime]:
        """Restart the time to live of those messages that have one. Return their new `expires_at`.

        Messages that would gain less than `LEAST_GAIN` of it, or are locked by a writer, are skipped.
        """
        if not ids:
            return {}
        async with self._database.connection() as connection:
            rows = self._queries.refresh_expiry(connection, tenant_id=tenant_id, ids=list(ids), least_gain=LEAST_GAIN)
            return {row["id"]: row["expires_at"] async for row in rows}

    async def delete_some(self, limit: int, tenant_id: str | None = None) -> int:
        """Delete at most `limit` expired messages, of one tenant or of all. Return how many; 0: none is left."""
        async with self._database.connection() as connection:
            return int(
                await self._queries.delete_expired(connection, tenant_id=tenant_id, limit=limit, most_terms=MOST_TERMS)
            )

    async def delete_all(self, rest: float = REST) -> int:
        """Delete expired messages in batches, with a pause after each. Return how many."""
        deleted = 0
        while True:
            began = perf_counter()
            batch = await self.delete_some(BATCH)
            if not batch:
                return deleted
            deleted += batch
            await asyncio.sleep(rest * (perf_counter() - began))
