"""Retention in the process of the tests: messages of any age, and the job's own parts, without rests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any
from uuid import UUID

from deployments.schemas.retention import RetentionReport, RetentionRequest
from deployments.settings import Settings
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.retention.policies import default_policy
from deployments.storage.retention.runs import RetentionRunRepository
from jobs.progress import ProgressLines
from jobs.retention.pace import Pace
from jobs.retention.running import RetentionRunner
from tests.integration.recount import recount

if TYPE_CHECKING:
    from tests.integration.service import Service

AT_ONCE = 3
DEADLINE_SECONDS = 60
# Of a tenant's messages, numbered from 0, oldest last: each a day older than the one before. Stored as an import does.
AGED = """
    INSERT INTO messages (id, tenant_id, conversation_id, role, content, importance, embedding, embedding_status,
                          terms, created_at, updated_at)
    SELECT gen_random_uuid(), $1, 'c1', 'user', said, $4, array_fill(0.0625::real, ARRAY[256])::vector::halfvec,
           'completed', message_terms('english', NULL, said, at), at, at
    FROM (
        SELECT 'note ' || n AS said, now() - make_interval(days => $3, hours => n) AS at
        FROM generate_series(0, $2 - 1) AS n
    ) AS messages
    RETURNING id
"""
ARCHIVED_DAYS_AGO = "UPDATE messages SET archived = true, archived_at = now() - make_interval(days => $2) WHERE id = $1"


SETTLED = """
    SELECT coalesce(sum(messages), 0)::int = (SELECT count(*) FROM messages)
       AND coalesce(sum(bytes), 0)::int = (SELECT coalesce(sum(octet_length(content)), 0) FROM messages)
    FROM tenant_usage
"""


# Where a job is to stop until the test lets go of the lock: at the third message of the phase, in the second batch.
GATE = """
    CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('passed') = 3 THEN PERFORM pg_advisory_xact_lock_shared(42); END IF;
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END $$
"""
GATES = {
    "planning": "BEFORE INSERT ON retention_items",
    "archiving": "BEFORE UPDATE OF archived ON messages",
    "deleting": "BEFORE DELETE ON messages",
    "finishing": "BEFORE DELETE ON retention_items",
}
WAITS_AT_THE_GATE = """
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def database_of(settings: Settings) -> Database:
    """A database for a job of its own."""
    assert settings.database.url is not None
    return Database(settings.database.url.get_secret_value(), settings.database, PoolSize(0, 1))


@asynccontextmanager
async def retention_of(
    settings: Settings, **options: Any
) -> AsyncIterator[tuple[RetentionRunRepository, RetentionRunner]]:
    """The ledger, and a runner as the job has it."""
    database = database_of(settings)
    runs = RetentionRunRepository(database, default_policy(settings.retention))
    try:
        yield runs, RetentionRunner(database, runs, Pace(AT_ONCE, 0.0), ProgressLines(StringIO()), **options)
    finally:
        await database.close()


async def finished_run(settings: Settings, **request: Any) -> UUID:
    """Make a run and do it; its id."""
    async with retention_of(settings) as (runs, runner):
        run_id = await runs.create(RetentionRequest(**request), "test")
        await runner.finish(run_id)
    return run_id


async def finished(settings: Settings, **request: Any) -> RetentionReport:
    """Make a run and do it; what the ledger says of it."""
    run_id = await finished_run(settings, **request)
    async with retention_of(settings) as (runs, _):
        return await runs.report(run_id)


async def undone(settings: Settings, run_id: UUID) -> RetentionReport:
    """Undo a run; what the ledger says of that."""
    async with retention_of(settings) as (runs, runner):
        undo_id = await runs.create_undo(run_id, None, "test")
        await runner.finish(undo_id)
        return await runs.report(undo_id)


class RetentionJobs:
    """In the place of Ray: runs that are submitted are done in this process, unless a test holds them up."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()
        self.submitted: list[UUID] = []
        self.held_up = False

    async def submit(self, run_id: UUID) -> None:
        """Begin with a run, and do not wait for it."""
        self.submitted.append(run_id)
        if not self.held_up:
            task = asyncio.create_task(self._finish(run_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what was begun."""
        await asyncio.gather(*self._tasks)

    async def _finish(self, run_id: UUID) -> None:
        async with retention_of(self._settings) as (_, runner):
            await runner.finish(run_id)


async def aged(
    service: "Service", count: int, days: int = 40, importance: float | None = 0.1, tenant_id: str = "acme"
) -> list[str]:
    """The ids of so many messages, the youngest of them that old."""
    async with service.database.connection() as connection:
        rows = await connection.fetch(AGED, tenant_id, count, days, importance)
    return [str(row["id"]) for row in rows]


async def archived(service: "Service", count: int, days_ago: int, tenant_id: str = "acme") -> list[str]:
    """The same, archived so many days ago."""
    ids = await aged(service, count, tenant_id=tenant_id)
    for each in ids:
        async with service.database.connection() as connection:
            await connection.execute(ARCHIVED_DAYS_AGO, UUID(each), days_ago)
    return ids


async def states(service: "Service") -> dict[str, bool]:
    """Whether each message that is there is archived."""
    async with service.database.connection() as connection:
        return {str(row["id"]): row["archived"] for row in await connection.fetch("SELECT id, archived FROM messages")}


async def all_counts_hold(service: "Service") -> None:
    """What is counted of tenants is what is there."""
    async with service.database.connection() as connection:
        await recount(connection)
        assert await connection.fetchval(SETTLED)


@asynccontextmanager
async def gate_closed(service: "Service", phase: str) -> AsyncIterator[Any]:
    """While this block runs, a job waits in the phase. Gives a connection of its own."""
    connection = await service.database.connect()
    await connection.execute("CREATE SEQUENCE passed")
    await connection.execute(GATE)
    await connection.execute(f"CREATE TRIGGER gate {GATES[phase]} FOR EACH ROW EXECUTE FUNCTION gate()")
    await connection.execute("SELECT pg_advisory_lock(42)")
    try:
        yield connection
    finally:
        await connection.close()


async def reached(connection: Any) -> None:
    """Wait until a job is at the gate."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await connection.fetchval(WAITS_AT_THE_GATE):  # noqa: ASYNC110 - Postgres sets no event
            await asyncio.sleep(0.02)
