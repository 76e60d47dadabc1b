"""The workers take turns between tenants: a batch is shared among all that have due messages."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from uuid import UUID, uuid4

import asyncpg
import pytest

from deployments.settings import DatabaseSettings
from deployments.storage.embeddings.jobs import VISITS_PER_MESSAGE, EmbeddingJobRepository, Job
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.postgres.named_queries import load_queries
from tests.integration.calls import message, store, store_many
from tests.integration.explaining import ExplainingDatabase, Plan, indexes, nodes, scanned
from tests.integration.postgres import PostgresServer
from tests.integration.recount import execute
from tests.integration.service import Service

LEASE = 60.0
ROOM = 128
# What waits is made by Postgres itself: the n-th message of each tenant came n milliseconds after the first.
WAITING = """
    WITH stored AS (
        INSERT INTO messages (id, tenant_id, conversation_id, role, content, terms, created_at, updated_at)
        SELECT gen_random_uuid(), tenant_id, 'c1', 'user', 'm' || n, '', now(), now()
        FROM unnest($1::text[], $2::int[]) AS t(tenant_id, messages), generate_series(1, messages) AS n
        RETURNING id, tenant_id, content
    )
    INSERT INTO embedding_jobs (message_id, tenant_id, available_at)
    SELECT id, tenant_id, now() - interval '1 hour' + make_interval(secs => substr(content, 2)::int / 1000.0)
    FROM stored
"""


async def wait(service: Service, **tenants: int) -> None:
    """Have so many messages of each tenant wait."""
    await execute(service, WAITING, list(tenants), list(tenants.values()))


async def claim(service: Service, room: int) -> list[tuple[str, str]]:
    """A batch: the tenant and the content of each message."""
    return _said(await service.jobs.claim(uuid4(), room, LEASE))


def _said(jobs: Sequence[Job]) -> list[tuple[str, str]]:
    return sorted(((job.tenant_id, job.content) for job in jobs), key=lambda each: (each[0], int(each[1][1:])))


def _shares(batch: list[tuple[str, str]]) -> dict[str, int]:
    return dict(Counter(tenant for tenant, _ in batch))


async def test_each_tenant_has_an_equal_share_of_a_batch(service: Service) -> None:
    await wait(service, a=100, b=100, c=100)

    assert _shares(await claim(service, 30)) == {"a": 10, "b": 10, "c": 10}


async def test_what_some_leave_goes_to_those_with_more(service: Service) -> None:
    await wait(service, flood=500, few=3, one=1, more=50)

    assert _shares(await claim(service, 100)) == {"flood": 48, "more": 48, "few": 3, "one": 1}


async def test_a_tenant_alone_has_whole_batches(service: Service) -> None:
    await wait(service, flood=20)

    assert [len(await claim(service, 8)) for _ in range(4)] == [8, 8, 4, 0]


async def test_a_tenants_share_is_its_oldest_messages(service: Service) -> None:
    await wait(service, a=6, b=2)

    batches = [await claim(service, 4) for _ in range(2)]

    assert batches[0] == [("a", "m1"), ("a", "m2"), ("b", "m1"), ("b", "m2")]
    assert batches[1] == [("a", "m3"), ("a", "m4"), ("a", "m5"), ("a", "m6")]


async def test_a_message_that_comes_during_a_flood_is_in_the_next_batch(service: Service) -> None:
    await wait(service, flood=500)
    await claim(service, ROOM)

    await store(service, "m1", tenant_id="late")

    assert ("late", "m1") in await claim(service, ROOM)


async def test_where_there_are_more_tenants_than_room_all_have_their_turn(service: Service) -> None:
    await wait(service, **{f"t{n:02}": 5 for n in range(25)})

    batches = [_shares(await claim(service, 10)) for _ in range(5)]

    assert all(set(shares.values()) == {1} and len(shares) == 10 for shares in batches)
    assert sum(map(Counter, batches), Counter()) == {f"t{n:02}": 2 for n in range(25)}


async def test_a_tenant_that_comes_back_at_once_does_not_keep_others_from_their_turn(service: Service) -> None:
    await wait(service, **{f"t{n}": 1 for n in range(8)}, flood=500)
    served: set[str] = set()

    for _ in range(5):
        served |= set(_shares(await claim(service, 2)))
        await wait(service, t0=1)

    assert served == {"flood", *(f"t{n}" for n in range(8))}


async def test_what_is_due_is_found_behind_any_number_of_tenants_that_wait_for_a_retry(service: Service) -> None:
    room = 4
    await wait(service, **{f"t{n:03}": 1 for n in range(3 * VISITS_PER_MESSAGE * room)}, z=6)
    await execute(service, "UPDATE embedding_jobs SET available_at = now() + interval '1 h' WHERE tenant_id <> 'z'")

    assert [_shares(await claim(service, room)) for _ in range(3)] == [{"z": 4}, {"z": 2}, {}]


async def test_a_retry_has_its_turn_when_it_is_due(service: Service) -> None:
    await wait(service, flood=100, late=1)
    claim_id = uuid4()
    (late,) = [job for job in await service.jobs.claim(claim_id, 10, LEASE) if job.tenant_id == "late"]

    await service.jobs.postpone(claim_id, [(late.message_id, 3600.0, None)], "away")
    assert _shares(await claim(service, 10)) == {"flood": 10}
    await service.jobs.postpone(claim_id, [(late.message_id, -1.0, None)], "away")
    await execute(service, "UPDATE embedding_jobs SET available_at = now() WHERE tenant_id = 'late'")

    (again,) = [job for job in await service.jobs.claim(uuid4(), 10, LEASE) if job.tenant_id == "late"]
    assert again.attempts == 1


async def test_a_failed_message_has_no_turn(service: Service) -> None:
    await wait(service, a=3, b=3)
    await execute(service, "UPDATE embedding_jobs SET failed = true WHERE tenant_id = 'a'")

    assert _shares(await claim(service, 10)) == {"b": 3}


async def test_a_message_that_is_being_changed_is_passed_over(service: Service) -> None:
    (first, _) = await store_many(service, [message("m1"), message("m2")])
    async with service.database.transaction() as connection:
        await load_queries("embedding_jobs").lock_job(connection, message_id=UUID(first["id"]))

        assert await claim(service, 10) == [("acme", "m2")]


@pytest.mark.parametrize("replicas", [1, 2])
async def test_workers_at_once_share_all_tenants_and_take_nothing_twice(service: Service, replicas: int) -> None:
    await wait(service, flood=300, **{f"t{n}": 2 for n in range(50)})
    repositories = [EmbeddingJobRepository(service.database) for _ in range(replicas)]

    async def drain(jobs: EmbeddingJobRepository) -> list[UUID]:
        taken: list[UUID] = []
        while batch := await jobs.claim(uuid4(), 16, LEASE):
            taken += [job.message_id for job in batch]
        return taken

    taken = list(chain.from_iterable(await asyncio.gather(*(drain(jobs) for jobs in repositories * 2))))

    assert len(taken) == len(set(taken)) == 400


async def _fill(url: str, case: str) -> None:
    connection = await asyncpg.connect(url)
    if case == "many tenants":
        await connection.execute(WAITING, [f"t{n}" for n in range(5_000)], [1] * 5_000)
    else:
        await connection.execute(WAITING, ["flood"], [5_000])
    await connection.execute("ANALYZE")
    if case == "unknown to the planner":
        await connection.execute(WAITING, ["late"], [1])
    await connection.close()


@pytest.fixture(params=["one tenant", "many tenants", "unknown to the planner"])
def waiting(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database where 5,000 messages wait."""
    url = postgres.create()
    asyncio.run(_fill(url, request.param))
    yield url
    postgres.drop(url)


async def _plan(url: str, query: str, **parameters: object) -> Plan:
    database = ExplainingDatabase(url, DatabaseSettings(), PoolSize(0, 1))
    async with database.connection() as connection:
        rows = getattr(load_queries("embedding_jobs"), query)(connection, **parameters)
        assert [row async for row in rows] == []
    await database.close()
    return database.plan


async def test_whose_turn_it_is_is_read_from_indexes_alone(waiting: str) -> None:
    plan = await _plan(waiting, "due_tenants", after="t3", limit=ROOM, visits=VISITS_PER_MESSAGE * ROOM)

    walks = [node for node in nodes(plan) if node.get("Index Name") == "embedding_jobs_tenant_due"]
    assert len(walks) == 4
    assert {node["Node Type"] for node in walks} <= {"Index Only Scan", "Index Scan"}
    assert indexes(plan) == {"embedding_jobs_due", "embedding_jobs_tenant_due"}
    assert not scanned(plan)


async def test_a_tenants_oldest_messages_are_read_in_the_indexs_order(waiting: str) -> None:
    plan = await _plan(
        waiting,
        "claim_jobs",
        tenant_ids=["flood", "t7", "late"],
        share=42,
        claim_id=uuid4(),
        lease_seconds=LEASE,
        alone_after=2,
    )

    (due,) = [node for node in nodes(plan) if node["Node Type"] == "LockRows"]
    (read,) = due["Plans"]
    assert (read["Node Type"], read["Index Name"]) == ("Index Scan", "embedding_jobs_tenant_due")
    assert not scanned(plan)


async def test_a_claim_among_many_messages_reads_no_more_than_it_takes(waiting: str) -> None:
    """Whatever waits, of however many tenants: rows are counted, which no noise of the machine changes."""
    database = Database(waiting, DatabaseSettings(), PoolSize(0, 1))
    before = await _rows_read(database)
    assert len(await EmbeddingJobRepository(database).claim(uuid4(), ROOM, LEASE)) == ROOM
    read = await _rows_read(database) - before
    await database.close()

    # Each message: among the oldest, in its tenant's turn, locked, updated, read; and some visits.
    assert 2 * ROOM < read < 12 * ROOM


async def _rows_read(database: Database) -> int:
    """Of all tables, since the database was made, by the one connection that the pool has and by others before it."""
    async with database.connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        read: int = await connection.fetchval(
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int FROM pg_stat_user_tables"
        )
    return read
