"""The second embedding space: filled beside the active one, compared with it, switched with it, dropped."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import asyncpg
from pgvector import HalfVector

from deployments.schemas.candidates import MEAN_PRIOR
from deployments.schemas.vectors import EmbeddingSpace, SpaceSource, Vector
from deployments.storage.embeddings.spaces import Spaces, to_spaces
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.zones import zoned
from deployments.storage.search.candidates import MEAN_SAMPLE

# The timeout for locking a table. Other requests queue behind the lock meanwhile: they are late, but do not fail. If
# the table stays locked for longer, the caller tries again.
LOCK_MILLISECONDS = 200
MAINTENANCE_MILLISECONDS = 10_000
# Building an index that does not fit into memory is many times slower.
INDEX_BYTES_BESIDE_VECTOR = 400
LEAST_INDEX_MEGABYTES, MOST_INDEX_MEGABYTES = 64, 1024
# Sampling draws pages with a few rows each: draw more than needed, so that enough rows remain.
SAMPLED_TIMES = 20


class Hole(NamedTuple):
    """A message without a vector in the other space. `created_at` is in the sender's zone."""

    message_id: UUID
    tenant_id: str
    role: str
    name: str | None
    content: str
    created_at: datetime
    updated_at: datetime


class Sampled(NamedTuple):
    """A message for comparing the spaces: the columns of `sample_messages`, in order."""

    message_id: UUID
    tenant_id: str
    content: str


@dataclass(frozen=True)
class Filled:
    """The number of messages with a vector in the active space, and of those with one in the other space too."""

    embedded: int
    filled: int

    @property
    def holes(self) -> int:
        """Return how many have none in the other space."""
        return self.embedded - self.filled


class Outcome(StrEnum):
    """Outcome of a change that needs exclusive locks. `BUSY` tables or remaining `HOLES`: nothing was changed."""

    DONE = "done"
    BUSY = "busy"
    HOLES = "holes"


class _HolesError(Exception):
    """Rolls back a transaction because holes remain."""


@asynccontextmanager
async def reembedding(database: Database) -> AsyncIterator["ReembeddingRepository"]:
    """Open a repository for the second space, over one connection for the block.

    Errors of all its methods: `DatabaseUnavailableError`, `OverloadedError`.
    """
    async with database.connection() as connection:
        repository = ReembeddingRepository(connection)
        await repository.open()
        yield repository


class ReembeddingRepository:
    """Operations on the second space, over one connection. Before any change, call `become_the_only_one`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._queries = load_queries("reembedding")

    async def open(self) -> None:
        """Prepare the session for long work."""
        await self._queries.set_session(self._connection)

    async def become_the_only_one(self) -> bool:
        """Try to take the lock for re-embedding, until the connection closes. Return whether it was taken."""
        return bool(await self._queries.become_the_only_one(self._connection))

    async def spaces(self) -> Spaces:
        """Return the current spaces."""
        return to_spaces(await load_queries("embedding_spaces").get_spaces(self._connection))

    async def begin(self, source: SpaceSource, active_base_url: str | None) -> None:
        """Add a second space beside the active one. `active_base_url`: the provider URL of the active one."""
        await self._queries.begin_filling(
            self._connection,
            provider=source.provider,
            model=source.space.model,
            dimensions=source.space.dimensions,
            base_url=source.base_url,
            active_base_url=active_base_url,
        )

    async def count(self) -> Filled:
        """Return the progress of the filling."""
        return Filled(**await self._queries.count_filled(self._connection))

    async def table_bytes(self) -> int:
        """Return the disk size of messages and their indexes, in bytes."""
        return int(await self._queries.table_bytes(self._connection))

    async def trouble(self) -> tuple[str | None, float]:
        """Return the problem that a replica reports with the second space, or None, and the space's age in seconds."""
        row = await self._queries.trouble(self._connection)
        return row["trouble"], row["seconds"]

    async def holes(self, after: Hole | None, limit: int) -> list[Hole]:
        """Return at most `limit` holes after the hole `after`, grouped by tenant."""
        rows = self._queries.find_holes(
            self._connection,
            tenant_id=after.tenant_id if after else "",
            created_at=after and after.created_at,
            id=after.message_id if after else UUID(int=0),
            limit=limit,
        )
        return [Hole(**zoned(row)) async for row in rows]

    async def fill(self, space: EmbeddingSpace, made: Sequence[tuple[Hole, Vector]]) -> int:
        """Store vectors of the second space. Return how many: messages that were changed or are locked are skipped."""
        try:
            filled = await self._queries.fill_holes(
                self._connection,
                ids=[hole.message_id for hole, _ in made],
                tenant_ids=[hole.tenant_id for hole, _ in made],
                updated_ats=[hole.updated_at for hole, _ in made],
                vectors=[HalfVector(vector) for _, vector in made],
                model=space.model,
                dimensions=space.dimensions,
            )
        except asyncpg.LockNotAvailableError:
            return 0
        return int(filled)

    async def has_index(self) -> bool:
        """Return whether the second space has a valid index."""
        return bool(await self._queries.index_is_valid(self._connection))

    async def make_index(self, dimensions: int, vectors: int) -> None:
        """Build the second space's HNSW index concurrently, after dropping what an earlier attempt left."""
        megabytes = int(vectors * (2 * dimensions + INDEX_BYTES_BESIDE_VECTOR) * 1.2 / 2**20)
        megabytes = min(max(megabytes, LEAST_INDEX_MEGABYTES), MOST_INDEX_MEGABYTES)
        await self._queries.set_index_memory(self._connection, megabytes=str(megabytes))
        await self._queries.drop_index(self._connection)
        await load_queries("reembedding", dimensions=dimensions).create_index(self._connection)
        await self.open()

    async def analyze(self) -> Outcome:
        """Update the planner's statistics of the second space's vectors."""
        try:
            await self._queries.analyze_vectors(self._connection)
        except asyncpg.LockNotAvailableError:
            return Outcome.BUSY
        return Outcome.DONE

    async def sample(self, count: int, least: int) -> list[Sampled]:
        """Return at most `count` random messages, of tenants with more than `least` vectors."""
        total = max((await self.count()).filled, 1)
        percent = min(100.0, 100.0 * SAMPLED_TIMES * count / total)
        rows = self._queries.sample_messages(self._connection, percent=percent, least=least, limit=count)
        return [Sampled(*row) async for row in rows]

    async def nearest(
        self, sampled: Sampled, active: Vector, other: Vector, limit: int
    ) -> tuple[list[UUID], list[UUID]]:
        """Return the ids nearest to a query in the active and in the other space, given its vector in both."""
        row = await self._queries.nearest_in_both(
            self._connection,
            tenant_id=sampled.tenant_id,
            id=sampled.message_id,
            active=HalfVector(active),
            other=HalfVector(other),
            mean_prior=MEAN_PRIOR,
            mean_sample=MEAN_SAMPLE,
            limit=limit,
        )
        return row["active"], row["other"]

    async def switch(self, given_up: Sequence[Hole] = ()) -> Outcome:
        """Switch the spaces in one transaction. `given_up`: messages that will have no vector and count as failed."""

        async def swap() -> None:
            if given_up:
                ids, tenant_ids = [hole.message_id for hole in given_up], [hole.tenant_id for hole in given_up]
                await self._queries.give_up_messages(self._connection, ids=ids, tenant_ids=tenant_ids)
            if (await self.count()).holes:
                raise _HolesError
            await self._queries.swap_spaces(self._connection)

        return await self._alone(swap)

    async def drop(self) -> Outcome:
        """Drop the second space in one transaction."""

        async def drop() -> None:
            await self._queries.drop_other_space(self._connection)

        return await self._alone(drop)

    async def _alone(self, change: Callable[[], Awaitable[None]]) -> Outcome:
        """Run `change` in a transaction that locks out all other users of the tables."""
        try:
            async with self._connection.transaction():
                await self._queries.wait_for_locks(self._connection, milliseconds=str(MAINTENANCE_MILLISECONDS))
                await self._queries.lock_out_maintenance(self._connection)
                await self._queries.wait_for_locks(self._connection, milliseconds=str(LOCK_MILLISECONDS))
                await self._queries.lock_out_everybody(self._connection)
                await change()
        except asyncpg.LockNotAvailableError:
            return Outcome.BUSY
        except _HolesError:
            return Outcome.HOLES
        return Outcome.DONE
