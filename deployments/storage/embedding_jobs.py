"""Pending embeddings: claimed under a lease, completed, postponed, given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector

from deployments.storage.database import Database, OwnConnection
from deployments.storage.named_queries import load_queries

CHANNEL = "embedding_jobs"


@dataclass(frozen=True)
class Job:
    """A message that waits for its embedding. `attempts` counts this one too."""

    message_id: UUID
    tenant_id: str
    request_id: str | None
    attempts: int
    role: str
    name: str | None
    content: str
    created_at: datetime


@dataclass(frozen=True)
class Result:
    """What a message's embedding and scoring came to: a unit vector of shape (dimensions,), and 0 to 1."""

    message_id: UUID
    embedding: npt.NDArray[np.float32]
    importance: float


@dataclass(frozen=True)
class JobCounts:
    """How many messages wait for their embedding, and how many were given up."""

    pending: int
    failed: int


class EmbeddingJobRepository:
    """Whoever holds a claim names it in every call; what is no longer theirs is left alone.

    Errors of every method: `DatabaseUnavailableError`, `OverloadedError`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("embedding_jobs")

    async def claim(self, claim_id: UUID, limit: int, lease_seconds: float) -> list[Job]:
        """Take at most `limit` due messages, oldest first, for `lease_seconds`."""
        async with self._database.connection() as connection:
            rows = self._queries.claim_jobs(connection, claim_id=claim_id, limit=limit, lease_seconds=lease_seconds)
            return [Job(**row) async for row in rows]

    async def extend(self, claim_id: UUID, message_ids: Sequence[UUID], lease_seconds: float) -> None:
        """Hold a claim for `lease_seconds` from now."""
        async with self._database.connection() as connection:
            await self._queries.extend_claim(
                connection, claim_id=claim_id, message_ids=message_ids, lease_seconds=lease_seconds
            )

    async def complete(self, claim_id: UUID, results: Sequence[Result]) -> int:
        """Write back embeddings and importances. Returns how many messages were still claimed."""
        async with self._database.connection() as connection:
            completed = await self._queries.complete_jobs(
                connection,
                claim_id=claim_id,
                message_ids=[r.message_id for r in results],
                embeddings=[HalfVector(r.embedding) for r in results],
                importances=[r.importance for r in results],
            )
        return int(completed)

    async def postpone(self, claim_id: UUID, delays: Sequence[tuple[UUID, float, float | None]], error: str) -> None:
        """Give messages back, each to be tried again after its delay in seconds, with its importance if it has one."""
        async with self._database.connection() as connection:
            await self._queries.postpone_jobs(
                connection,
                claim_id=claim_id,
                message_ids=[message_id for message_id, _, _ in delays],
                delays=[delay for _, delay, _ in delays],
                importances=[importance for _, _, importance in delays],
                error=error,
            )

    async def fail(self, claim_id: UUID, importances: Sequence[tuple[UUID, float | None]], error: str) -> int:
        """Give messages up. Returns how many were still claimed."""
        async with self._database.connection() as connection:
            failed = await self._queries.fail_jobs(
                connection,
                claim_id=claim_id,
                message_ids=[message_id for message_id, _ in importances],
                importances=[importance for _, importance in importances],
                error=error,
            )
        return int(failed)

    async def counts(self) -> JobCounts:
        """How many wait and how many were given up, over all tenants."""
        async with self._database.connection() as connection:
            return JobCounts(**await self._queries.count_jobs(connection))

    async def listen(self) -> OwnConnection:
        """A connection that hears of new messages. The caller adds a listener on `CHANNEL`, and closes it."""
        return await self._database.connect()
