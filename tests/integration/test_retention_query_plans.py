"""The plans of retention's queries: a batch reads what it is for, and no table from end to end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from io import StringIO
from uuid import UUID, uuid4

import asyncpg
import pytest

from deployments.schemas.retention import Action, Phase, RetentionPolicy, RetentionRequest
from deployments.settings import DatabaseSettings
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.retention.plans import RetentionPlanRepository
from deployments.storage.retention.runs import ClaimedRun, RetentionRunRepository
from deployments.storage.retention.work import RetentionWorkRepository
from jobs.progress import ProgressLines
from jobs.retention.pace import Pace
from jobs.retention.running import RetentionRunner
from tests.integration.explaining import ExplainingDatabase, indexes, nodes, scanned
from tests.integration.many_messages import LARGE_TENANT, fill
from tests.integration.postgres import PostgresServer

POLICY = RetentionPolicy(max_age_days=1, importance_threshold=0.6, delete_after_days=30, keep_newest=0, exempt=False)
ARCHIVED = f"""
    UPDATE messages SET archived = true, archived_at = now() - interval '40 days', archived_by = gen_random_uuid()
    WHERE tenant_id = '{LARGE_TENANT}' AND created_at < now() - interval '60 hours'
"""  # noqa: S608 - a constant
# A ledger of a year, with the tenants of each run.
LEDGER = """
    WITH made AS (
        INSERT INTO retention_runs (id, actions, dry_run, forced, requested_by, policy, status)
        SELECT gen_random_uuid(), '{archive}', false, false, 'schedule', '{}', 'completed' FROM generate_series(1, 365)
        RETURNING id
    )
    INSERT INTO retention_tenants (run_id, tenant_id, action, planned, messages, refused, policy)
    SELECT id, 'tenant-' || n, 'archive', 1, 2, false, '{}' FROM made, generate_series(1, 50) AS n
"""
LIMIT = 100


@pytest.fixture(scope="module")
def planned(postgres: PostgresServer) -> Iterator[tuple[str, UUID]]:
    """A database with 6,000 messages, of which more than half are planned to be archived or deleted."""
    url = postgres.create()
    run_id = asyncio.run(_plan(url))
    yield url, run_id
    postgres.drop(url)


async def _plan(url: str) -> UUID:
    await fill(url, pending=True)
    connection = await asyncpg.connect(url)
    await connection.execute(ARCHIVED)
    await connection.execute(LEDGER)
    database = Database(url, DatabaseSettings(), PoolSize(0, 1))
    runs = RetentionRunRepository(database, POLICY)
    run_id = await runs.create(RetentionRequest(dry_run=True), "test")
    await RetentionRunner(database, runs, Pace(LIMIT, 0), ProgressLines(StringIO())).finish(run_id)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
    await database.close()
    return run_id


@pytest.fixture
async def explaining(planned: tuple[str, UUID]) -> AsyncIterator[ExplainingDatabase]:
    """Plans over it."""
    database = ExplainingDatabase(planned[0], DatabaseSettings(), PoolSize(0, 1))
    yield database
    await database.close()


@pytest.fixture
def run(planned: tuple[str, UUID]) -> ClaimedRun:
    """The run that applies the plan."""
    return ClaimedRun(
        id=planned[1],
        claim_id=uuid4(),
        tenant_id=None,
        actions=(Action.ARCHIVE, Action.DELETE),
        dry_run=False,
        forced=False,
        source_id=None,
        policy=POLICY,
        phase=Phase.ARCHIVING,
        as_of=None,
        planned_tenant="",
        planned=0,
    )


@pytest.mark.parametrize("action", [Action.ARCHIVE, Action.DELETE])
async def test_a_batch_looks_up_its_items_and_their_messages(
    explaining: ExplainingDatabase, run: ClaimedRun, action: Action
) -> None:
    work = RetentionWorkRepository(explaining)
    await (work.archive if action is Action.ARCHIVE else work.delete)(run, LIMIT)

    tables = {"messages", "retention_items", "retention_tenants", "retention_runs", "embedding_jobs"}
    assert not scanned(explaining.plan) & tables
    assert {"messages_pkey", "retention_items_pkey"} <= indexes(explaining.plan)
    # No more items are read than are taken, however many are left.
    limited = [child for node in nodes(explaining.plan) if node["Node Type"] == "Limit" for child in node["Plans"]]
    assert [child.get("Index Name") for child in limited] == ["retention_items_pkey"]


async def test_what_a_run_archived_is_found_by_its_index(explaining: ExplainingDatabase, run: ClaimedRun) -> None:
    await RetentionWorkRepository(explaining).restore(run, LIMIT)

    assert "messages_archived_by" in indexes(explaining.plan)
    assert "messages" not in scanned(explaining.plan)


PAGE = {
    "run_id": uuid4(),
    "claim_id": uuid4(),
    "tenant_id": LARGE_TENANT,
    "user_id": None,
    "after": datetime(1, 1, 1, tzinfo=UTC),
    "after_id": UUID(int=0),
    "position": 0,
    "limit": 2_000,
}


@pytest.mark.parametrize(
    ("kept_from", "kept_from_id", "user_id", "index"),
    [
        (None, None, None, "messages_tenant_time"),
        (datetime.now(UTC), uuid4(), None, "messages_tenant_time"),
        (None, None, "ada", "messages_user"),
    ],
)
async def test_a_page_of_old_messages_is_read_in_the_indexs_order(
    explaining: ExplainingDatabase,
    kept_from: datetime | None,
    kept_from_id: UUID | None,
    user_id: str | None,
    index: str,
) -> None:
    async with explaining.connection() as connection:
        await load_queries("retention_plans").plan_archiving(
            connection,
            **{**PAGE, "user_id": user_id},
            archive_before=datetime.now(UTC),
            threshold=0.5,
            kept_from=kept_from,
            kept_from_id=kept_from_id,
        )

    assert index in indexes(explaining.plan)
    assert "messages" not in scanned(explaining.plan)


async def test_a_page_of_archived_messages_is_read_in_the_indexs_order(explaining: ExplainingDatabase) -> None:
    async with explaining.connection() as connection:
        await load_queries("retention_plans").plan_deleting(connection, **PAGE, delete_until=datetime.now(UTC))

    assert "messages_archived_at" in indexes(explaining.plan)
    assert "messages" not in scanned(explaining.plan)


async def test_the_newest_that_are_kept_are_counted_off_in_the_indexs_order(explaining: ExplainingDatabase) -> None:
    assert await RetentionPlanRepository(explaining).oldest_kept(LARGE_TENANT, 100) is None

    assert "messages_tenant_time" in indexes(explaining.plan)
    assert not {node["Node Type"] for node in nodes(explaining.plan)} & {"Sort", "Seq Scan"}


async def test_samples_are_looked_up(explaining: ExplainingDatabase, run: ClaimedRun) -> None:
    async with explaining.connection() as connection:
        rows = load_queries("retention_runs").planned_samples(connection, run_id=run.id, limit=10)
        assert [row async for row in rows] == []

    assert not scanned(explaining.plan) & {"messages", "retention_items"}
