"""The queue of embedding jobs: claimed under a lease, completed, postponed or failed."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pgvector import HalfVector

from deployments.errors import InvalidRequestError
from deployments.schemas.vectors import EmbeddingSpace, Vector
from deployments.storage.postgres.database import Database, OwnConnection
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.zones import zoned

CHANNEL = "embedding_jobs"

# How many tenants a claim examines for each message that it may take. It needs more than one only while most tenants
# wait for a retry.
VISITS_PER_MESSAGE = 4
# After this many attempts that crashed or failed for an internal reason, a message is processed alone. A crash counts
# against all messages of its batch, of which only one caused it.
ALONE_AFTER = 2


@dataclass(frozen=True)
class Job:
    """A message that waits for its embedding.

    `attempts`: how many have failed, because of the message or because the worker crashed.
    `deferrals`: how often it was postponed because the provider or Scoring was unavailable.
    """

    message_id: UUID
    tenant_id: str
    request_id: str | None
    attempts: int
    deferrals: int
    role: str
    name: str | None
    content: str
    created_at: datetime

    @property
    def is_tried_alone(self) -> bool:
        """Return whether the message is processed alone, after `begin_attempt`."""
        return self.attempts >= ALONE_AFTER


@dataclass(frozen=True)
class Result:
    """A message's embedding, a unit vector of shape (dimensions,), and its importance, 0 to 1.

    `other`: its vector in the second space, if there is one.
    """

    message_id: UUID
    embedding: Vector
    importance: float
    other: Vector | None = None


@dataclass(frozen=True)
class JobCounts:
    """The numbers of pending and of failed messages.

    `due_since`: since when the oldest due message waits. `due_first`: how many wait since then.
    `oldest_seconds`: the age of the oldest, except those that failed for a reason of their own and wait for a retry.
    `removed`: changes whenever messages were completed, or deleted while they waited.
    """

    pending: int
    failed: int
    due_since: datetime | None = None
    due_first: int = 0
    oldest_seconds: float | None = None
    removed: int = 0


class EmbeddingJobRepository:
    """The job queue. Calls name the caller's claim, and skip jobs that it no longer holds.

    Errors of every method: `DatabaseUnavailableError`, `OverloadedError`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("embedding_jobs")
        self._claiming = asyncio.Lock()
        self._last_turn = ""

    async def claim(self, claim_id: UUID, limit: int, lease_seconds: float) -> list[Job]:
        """Claim at most `limit` due messages for `lease_seconds`: an equal share for each tenant, oldest first.

        Unused shares go to tenants with more messages. If there are more tenants than `limit`, the next claim continues
        after the last tenant. The batch is full whenever enough messages are due.
        """
        # One claim at a time: two concurrent ones would find the same tenants, and one of them would get nothing.
        async with self._claiming, self._database.transaction() as connection:
            rows = self._queries.due_tenants(
                connection, after=self._last_turn, limit=limit, visits=VISITS_PER_MESSAGE * limit
            )
            turns = [(row["tenant_id"], row["reached"]) async for row in rows]
            if not turns:
                return []
            self._last_turn = turns[0][1]
            return await self._claim_in_turns(
                connection, claim_id, [tenant for tenant, _ in turns], limit, lease_seconds
            )

    async def _claim_in_turns(
        self, connection: object, claim_id: UUID, tenant_ids: list[str], limit: int, lease_seconds: float
    ) -> list[Job]:
        jobs: list[Job] = []
        while tenant_ids and len(jobs) < limit:
            room = limit - len(jobs)
            share = max(1, room // len(tenant_ids))
            asked, others = tenant_ids[:room], tenant_ids[room:]
            rows = self._queries.claim_jobs(
                connection,
                tenant_ids=asked,
                share=share,
                claim_id=claim_id,
                lease_seconds=lease_seconds,
                alone_after=ALONE_AFTER,
            )
            taken = [Job(**zoned(row)) async for row in rows]
            counts = Counter(job.tenant_id for job in taken)
            tenant_ids = others + [tenant for tenant in asked if counts[tenant] == share]
            jobs += taken
        return jobs

    async def seconds_until_due(self) -> float | None:
        """Return the seconds until a retry is due or a lease expires, so that a message can be claimed, or None."""
        async with self._database.connection() as connection:
            due: float | None = await self._queries.seconds_until_due(connection)
        return due

    async def begin_attempt(self, claim_id: UUID, message_id: UUID) -> bool:
        """Increment the attempts of a message that is processed alone. Return whether it is still claimed."""
        async with self._database.connection() as connection:
            return bool(await self._queries.begin_attempt(connection, claim_id=claim_id, message_id=message_id))

    async def extend(self, claim_id: UUID, message_ids: Sequence[UUID], lease_seconds: float) -> None:
        """Extend the lease of a claim to `lease_seconds` from now."""
        async with self._database.connection() as connection:
            await self._queries.extend_claim(
                connection, claim_id=claim_id, message_ids=message_ids, lease_seconds=lease_seconds
            )

    async def complete(
        self, claim_id: UUID, results: Sequence[Result], space: EmbeddingSpace, other: EmbeddingSpace | None = None
    ) -> int | None:
        """Store importances, and embeddings of `space` and `other`.

        Returns how many messages were still claimed. If neither space is active now, writes nothing and returns None.
        Raises `InvalidRequestError` for a vector that does not fit its space.
        """
        _check_dimensions([r.embedding for r in results], space)
        if other is not None:
            _check_dimensions([r.other for r in results if r.other is not None], other)
        async with self._database.connection() as connection:
            completed: int | None = await self._queries.complete_jobs(
                connection,
                claim_id=claim_id,
                message_ids=[r.message_id for r in results],
                embeddings=[HalfVector(r.embedding) for r in results],
                others=[None if r.other is None else HalfVector(r.other) for r in results],
                importances=[r.importance for r in results],
                model=space.model,
                dimensions=space.dimensions,
                other_model=other and other.model,
                other_dimensions=other and other.dimensions,
            )
        return completed

    async def postpone(
        self,
        claim_id: UUID,
        delays: Sequence[tuple[UUID, float, float | None]],
        error: str,
        *,
        deferred: bool = False,
    ) -> None:
        """Release messages for a retry, given as (id, delay in seconds, importance or None).

        `deferred`: increment deferrals instead of attempts.
        """
        async with self._database.connection() as connection:
            await self._queries.postpone_jobs(
                connection,
                claim_id=claim_id,
                message_ids=[message_id for message_id, _, _ in delays],
                delays=[delay for _, delay, _ in delays],
                importances=[importance for _, _, importance in delays],
                error=error,
                deferred=deferred,
            )

    async def fail(self, claim_id: UUID, importances: Sequence[tuple[UUID, float | None]], error: str) -> int:
        """Mark messages as failed. Return how many were still claimed."""
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
        """Return how many jobs of all tenants are pending and failed."""
        async with self._database.connection() as connection:
            return JobCounts(**await self._queries.count_jobs(connection))

    async def listen(self) -> OwnConnection:
        """Open a connection for notifications of new messages. The caller listens on `CHANNEL`, and closes it."""
        return await self._database.connect()


def _check_dimensions(vectors: Sequence[Vector], space: EmbeddingSpace) -> None:
    """Raise `InvalidRequestError` for a wrong size: HNSW indexes would refuse it later, and searches would fail."""
    if any(len(vector) != space.dimensions for vector in vectors):
        raise InvalidRequestError(f"The provider's vectors have not {space.dimensions} dimensions.")
