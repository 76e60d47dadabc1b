"""Indexes in memory while tenants load, grow, take turns, and while Postgres goes away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from threading import Event
from typing import Any
from uuid import uuid4

import pytest

from deployments.errors import DatabaseUnavailableError
from deployments.search.index import resident
from deployments.search.index.resident import Limits
from deployments.search.index.tenant_index import TenantIndex
from deployments.settings import Settings
from deployments.storage.search import message_changes
from deployments.storage.search.message_changes import MessageRow
from tests.integration.indexed import FILL, INSERT, ROOMY, Replica, connected, contents_of, feed_only, replicas
from tests.integration.polling import until

TENANTS = 1_000
# Room for a hundredth of them.
HELD = TENANTS // 100


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[Any]:
    async with connected(database_url) as (connection,):
        await feed_only(connection)
        yield connection


@pytest.fixture
async def replica(database_url: str, settings: Settings) -> AsyncIterator[Replica]:
    async with replicas(database_url, settings, ROOMY) as (replica,):
        yield replica


class Held:
    """Loads of tenants beyond a first batch, which wait until they are let go."""

    def __init__(self) -> None:
        self.under_way = 0
        self._go = Event()

    def put(self, index: TenantIndex, rows: Sequence[MessageRow]) -> None:
        """Wait, then put."""
        if len(rows) >= message_changes.READ_AT_ONCE:
            self.under_way += 1
            assert self._go.wait(30)
            self.under_way -= 1
        _PUT(index, rows)

    def let_go(self) -> None:
        """Have all loads go on."""
        self._go.set()


_PUT = TenantIndex.put


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Hold each load of ten messages and more."""
    held = Held()
    monkeypatch.setattr(message_changes, "READ_AT_ONCE", 10)

    def put(index: TenantIndex, rows: Sequence[MessageRow]) -> None:
        held.put(index, rows)

    monkeypatch.setattr(TenantIndex, "put", put)
    return held


async def test_a_tenant_that_changes_while_it_loads_is_right(replica: Replica, writer: Any, held: Held) -> None:
    await writer.execute(FILL, "acme", 30)
    before = asyncio.create_task(replica.said())
    await until(lambda: held.under_way == 1)
    gone = await writer.fetch("DELETE FROM messages WHERE content IN ('said 1', 'said 29') RETURNING id")
    await writer.execute("UPDATE messages SET content = 'said anew' WHERE content IN ('said 2', 'said 30')")
    await writer.execute(FILL, "acme", 5)
    after = asyncio.create_task(replica.said())
    await asyncio.sleep(0)
    held.let_go()

    seen = await after
    assert len(seen) == 33
    assert not {row[0] for row in gone} & seen.keys()
    assert sorted(said.content for said in seen.values()).count("said anew") == 2
    assert len(await before) in (30, 33)
    assert replica.loads == 1


async def test_a_load_keeps_nobody_else(replica: Replica, writer: Any, held: Held) -> None:
    """Neither other tenants nor, where more load than may at once, those that are loaded already."""
    await writer.execute(FILL, "other", 3)
    await replica.said("other")
    for tenant in "abcde":
        await writer.execute(FILL, tenant, 10)
    loads = [asyncio.create_task(replica.said(tenant)) for tenant in "abcde"]
    await until(lambda: held.under_way == resident.LOADS_AT_ONCE)

    await writer.execute(FILL, "other", 3)
    assert len(await replica.said("other")) == 6

    held.let_go()
    assert [len(each) for each in await asyncio.gather(*loads)] == [10] * 5


async def test_who_waits_for_a_load_has_it_when_the_first_caller_leaves(
    replica: Replica, writer: Any, held: Held
) -> None:
    await writer.execute(FILL, "acme", 20)
    first, second = (asyncio.create_task(replica.said()) for _ in range(2))
    await until(lambda: held.under_way == 1)
    first.cancel()
    await asyncio.wait([first])
    held.let_go()

    assert len(await second) == 20
    assert first.cancelled()
    assert replica.loads == 1


async def test_a_load_ends_with_the_last_who_waits_and_is_begun_anew(replica: Replica, writer: Any, held: Held) -> None:
    await writer.execute(FILL, "acme", 20)
    only = asyncio.create_task(replica.said())
    await until(lambda: held.under_way == 1)
    only.cancel()
    await asyncio.wait([only])
    held.let_go()

    assert len(await replica.said()) == 20
    assert replica.loads == 1


async def test_a_load_that_is_cut_fails_for_who_waits_and_is_tried_again(
    replica: Replica, writer: Any, held: Held
) -> None:
    await writer.execute(FILL, "acme", 20)
    waiting = [asyncio.create_task(replica.said()) for _ in range(2)]
    await until(lambda: held.under_way == 1)
    await writer.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    held.let_go()

    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseUnavailableError] * 2
    assert len(await replica.said()) == 20


async def test_many_tenants_in_turn_stay_within_the_budget(database_url: str, settings: Settings, writer: Any) -> None:
    await writer.execute(
        INSERT.replace("$1,", "'t' || n,")
        .replace("unnest($2::uuid[]) AS id", "generate_series(1, $1::int) AS n")
        .replace("SELECT id", "SELECT gen_random_uuid()")
        .replace("$3", "'said ' || n"),
        TENANTS,
    )
    async with replicas(database_url, settings, ROOMY) as (roomy,):
        await roomy.said("t1")
        taken = roomy.counted("memory_index_bytes")
    budget = int(taken * (HELD + 0.5))
    async with replicas(database_url, settings, Limits(budget, 100)) as (replica,):
        for start in range(1, TENANTS + 1, 8):
            tenants = [f"t{number}" for number in range(start, min(start + 8, TENANTS + 1))]
            said = await asyncio.gather(*map(replica.said, tenants))
            assert [[each.content for each in one.values()] for one in said] == [
                [f"said {tenant[1:]}"] for tenant in tenants
            ]
            assert replica.counted("memory_index_bytes") <= budget
        assert replica.counted("memory_index_tenants") == HELD
        assert replica.counted("memory_index_evictions_total") == TENANTS - HELD
        assert replica.loads == TENANTS
        # The last one is there still, and the first is read again.
        await replica.said(f"t{TENANTS}")
        assert replica.loads == TENANTS
        assert len(await replica.said("t1")) == 1
        assert replica.loads == TENANTS + 1


async def test_tenants_that_do_not_exist_take_no_more_than_the_budget(database_url: str, settings: Settings) -> None:
    """Also while Postgres is away: what is not known yet counts."""
    limits = Limits(total_bytes=20 * resident.BYTES_OF_RESIDENT, messages=100)
    away = database_url.replace("/test_", "/no_such_")
    async with replicas(away, settings, limits) as (replica,):
        for _ in range(100):
            with pytest.raises(DatabaseUnavailableError):
                await replica.said(str(uuid4()))
        assert len(replica.indexes._residents) <= 20


@pytest.mark.parametrize("limits", [Limits(1 << 30, 25), Limits(110_000, 1_000)], ids=["of messages", "of bytes"])
async def test_a_tenant_that_outgrows_the_limits_leaves_and_comes_back(
    database_url: str, settings: Settings, writer: Any, monkeypatch: pytest.MonkeyPatch, limits: Limits
) -> None:
    monkeypatch.setattr(resident, "TOO_LARGE_SECONDS", 0.0)
    async with replicas(database_url, settings, limits) as (replica,):
        await writer.execute(FILL, "acme", 20)
        index = await replica.index()
        assert index is not None
        assert len(contents_of(index)) == 20

        await writer.execute(FILL, "acme", 40)
        assert await replica.index() is None
        assert await replica.index() is None
        assert replica.counted("memory_index_bytes") == resident.BYTES_OF_RESIDENT
        assert replica.counted("memory_index_loads_total", outcome="too_large") >= 1

        await writer.execute("DELETE FROM messages WHERE content >= 'said 15'")
        there = await writer.fetchval("SELECT count(*) FROM messages")
        assert len(await replica.said()) == there


async def test_a_tenant_that_is_too_large_is_not_measured_each_time(
    database_url: str, settings: Settings, writer: Any
) -> None:
    await writer.execute(FILL, "acme", 20)
    async with replicas(database_url, settings, Limits(1 << 30, 10)) as (replica,):
        assert [await replica.index() for _ in range(5)] == [None] * 5
        assert replica.counted("memory_index_loads_total", outcome="too_large") == 1


async def test_more_changes_than_are_worth_it_are_read_whole(
    replica: Replica, writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when retention archives very many: a statement that reads so many ids is slower than all of a tenant."""
    monkeypatch.setattr(resident, "CAUGHT_UP_AT_MOST", 10)
    await writer.execute(FILL, "acme", 60)
    assert len(await replica.said()) == 60
    await replica.said(archived=True)

    await writer.execute("UPDATE messages SET archived = true WHERE content < 'said 5'")

    there = await writer.fetchval("SELECT count(*) FROM messages WHERE NOT archived")
    assert (len(await replica.said()), len(await replica.said(archived=True))) == (there, 60)
    assert replica.loads == 4
    # Less than a fifth of what is held is read alone.
    await writer.execute("DELETE FROM messages WHERE content IN ('said 6', 'said 7')")
    assert (len(await replica.said()), replica.loads) == (there - 2, 4)
