"""When messages expire: refreshed where they are read, and deleted soon afterwards."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from time import perf_counter
from typing import Protocol
from uuid import UUID

from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.tenants.erasure import BATCH, MOST_TERMS

# A refresh that gains less of the time to live is left out: each one writes the row anew, and indexes in memory read it
# again. A message of an hour is so written every 36 s at most, however often it is read.
LEAST_GAIN = 0.01
# After each batch Postgres has rest for so many times as long as it took.
REST = 1.0


class Given(Protocol):
    """What a caller says of when a message expires."""

    @property
    def ttl_seconds(self) -> int | None: ...
    @property
    def expires_at(self) -> datetime | None: ...


def expiry_of(given: Given, now: datetime) -> datetime | None:
    """Return when a message expires that is given either a time to live from `now` on, or a time, or neither."""
    return given.expires_at if given.ttl_seconds is None else now + timedelta(seconds=given.ttl_seconds)


class ExpiryRepository:
    """Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("expiry")

    async def refresh(self, tenant_id: str, ids: Sequence[UUID]) -> dict[UUID, datetime]:
        """Have those of a tenant's messages that have a time to live start it anew. Returns their new `expires_at`.

        Those that would gain less than `LEAST_GAIN` of it, or are being written at this moment, are left out.
        """
        if not ids:
            return {}
        async with self._database.connection() as connection:
            rows = self._queries.refresh_expiry(connection, tenant_id=tenant_id, ids=list(ids), least_gain=LEAST_GAIN)
            return {row["id"]: row["expires_at"] async for row in rows}

    async def delete_some(self, limit: int, tenant_id: str | None = None) -> int:
        """Delete at most `limit` messages that have expired, of one tenant or of all. Returns how many; 0: no more."""
        async with self._database.connection() as connection:
            return int(
                await self._queries.delete_expired(connection, tenant_id=tenant_id, limit=limit, most_terms=MOST_TERMS)
            )

    async def delete_all(self, rest: float = REST) -> int:
        """Delete what has expired, in batches, with a rest after each. Returns how many messages those were."""
        deleted = 0
        while True:
            began = perf_counter()
            batch = await self.delete_some(BATCH)
            if not batch:
                return deleted
            deleted += batch
            await asyncio.sleep(rest * (perf_counter() - began))
