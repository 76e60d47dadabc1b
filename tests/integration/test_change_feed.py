"""What the feed of changes tells after it was pruned, restored from a dump, or its table was taken for another."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from deployments.embedding.pruner import Pruner
from deployments.errors import DatabaseUnavailableError
from deployments.settings import Settings
from deployments.storage.search import message_changes
from deployments.storage.search.message_changes import MessageChangeRepository, Position
from tests.integration.indexed import FILL, ROOMY, Replica, connected, feed_only, replicas
from tests.integration.polling import until, until_answered
from tests.integration.postgres import PostgresServer

COUNTS = "SELECT (SELECT count(*) FROM message_changes), (SELECT count(*) FROM message_change_marks)"
AGE = "UPDATE message_change_marks SET marked_at = marked_at - interval '2 hours'"
# What a dump holds of a server whose transactions have such numbers.
DUMPED = """
    WITH mark AS (INSERT INTO message_change_marks SELECT $1::text::xid8, now() - interval '2 hours')
    INSERT INTO message_changes SELECT hashtextextended('acme', 0), $1::text::xid8, ARRAY[gen_random_uuid()]
"""
AHEAD, BEHIND = str(10**12), "3"


@pytest.fixture
async def replica(database_url: str, settings: Settings) -> AsyncIterator[Replica]:
    async with replicas(database_url, settings, ROOMY) as (replica,):
        yield replica


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[Any]:
    async with connected(database_url) as (connection,):
        yield connection


async def test_only_what_is_older_than_an_hour_is_pruned(replica: Replica, writer: Any) -> None:
    await writer.execute(FILL, "acme", 3)
    assert len(await replica.said()) == 3
    assert await replica.changes.prune() == 0
    await writer.execute(AGE)
    await writer.execute(FILL, "acme", 2)

    assert await replica.changes.prune() == 1
    assert tuple(await writer.fetchrow(COUNTS)) == (1, 2)
    assert len(await replica.said()) == 5


async def test_a_position_that_the_feed_has_left_behind_is_read_anew(replica: Replica, writer: Any) -> None:
    await writer.execute(FILL, "acme", 3)
    await replica.said()
    await writer.execute("DELETE FROM messages")
    await writer.execute(FILL, "acme", 1)
    await replica.changes.prune()
    await writer.execute(AGE)
    await replica.changes.prune()

    assert len(await replica.said()) == 1
    assert replica.loads == 2
    # From there on it is fed again.
    await writer.execute(FILL, "acme", 1)
    assert len(await replica.said()) == 2
    assert replica.loads == 2


async def test_nothing_is_written_where_nothing_has_changed(replica: Replica, writer: Any) -> None:
    """Neither is a position lost: an index that nobody asks for stays right for as long as nothing changes."""
    await replica.said()
    before = tuple(await writer.fetchrow(COUNTS))
    for _ in range(3):
        await writer.execute(AGE)
        assert await replica.changes.prune() == 0

    assert tuple(await writer.fetchrow(COUNTS)) == before == (0, 1)
    await replica.said()
    assert replica.loads == 1


async def test_a_transaction_that_is_open_for_hours_is_not_pruned(database_url: str, replica: Replica) -> None:
    async with connected(database_url, 2) as (slow, writer):
        await feed_only(writer)
        await replica.said()
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(FILL, "acme", 2)
        for _ in range(3):
            await writer.execute(FILL, "acme", 1)
            await replica.changes.prune()
            await writer.execute(AGE)
        assert len(await replica.said()) == 3
        await transaction.commit()
        assert len(await replica.said()) == 5


@pytest.mark.parametrize("number", [AHEAD, BEHIND], ids=["ahead", "behind"])
async def test_what_a_dump_brings_with_it_hides_nothing(replica: Replica, writer: Any, number: str) -> None:
    await writer.execute(DUMPED, number)
    await writer.execute(FILL, "acme", 2)
    assert len(await replica.said()) == 2
    for count in range(3, 6):
        await writer.execute(FILL, "acme", 1)
        # A mark of the dump that is ahead of all transactions here says nothing of what may be deleted.
        await replica.changes.prune()
        assert len(await replica.said()) == count
    assert replica.loads == 1

    await writer.execute(AGE)
    await replica.changes.prune()
    assert await writer.fetchval("SELECT count(*) FROM message_changes WHERE xid = $1::text::xid8", number) == 0
    assert await writer.fetchval("SELECT max(all_before)::text FROM message_change_marks") != AHEAD


async def test_another_database_in_the_place_of_the_first_is_read_anew(
    postgres: PostgresServer, database_url: str, settings: Settings
) -> None:
    """A dump that is restored under a running service: neither is a tenant of before told, nor is one missed."""
    name = database_url.removeprefix("postgresql://postgres@/").partition("?")[0]
    dump = await asyncio.to_thread(postgres.create)
    async with replicas(database_url, settings, ROOMY) as (replica,):
        async with connected(database_url) as (writer,):
            await writer.execute(FILL, "acme", 3)
            await replica.said()
        async with connected(dump) as (writer,):
            await writer.execute(FILL, "acme", 2)
        await asyncio.to_thread(postgres.drop, database_url)
        dumped = dump.removeprefix("postgresql://postgres@/").partition("?")[0]
        await asyncio.to_thread(postgres.execute, f"CREATE DATABASE {name} TEMPLATE {dumped}")

        async def back() -> bool:
            try:
                return len(await replica.said()) == 2
            except DatabaseUnavailableError:
                return False

        await until_answered(back)
        assert replica.loads == 2
    await asyncio.to_thread(postgres.drop, dump)


@pytest.mark.parametrize("statement", ["TRUNCATE messages CASCADE", "DELETE FROM messages"])
async def test_what_a_dba_deletes_is_gone(replica: Replica, writer: Any, statement: str) -> None:
    """No trigger of rows or statements sees a truncation, and the table has another file from then on."""
    await writer.execute(FILL, "acme", 3)
    await replica.said()

    await writer.execute(statement)

    assert await replica.said() == {}


async def test_a_tenant_that_is_renamed_leaves_one_index_and_comes_to_another(replica: Replica, writer: Any) -> None:
    await writer.execute(FILL, "acme", 3)
    before = await replica.said()
    assert await replica.said("globex") == {}

    await writer.execute("UPDATE messages SET tenant_id = 'globex'")

    assert await replica.said() == {}
    assert await replica.said("globex") == before
    assert replica.loads == 2


async def test_positions_of_other_runs_of_the_server_and_of_a_standby_are_gaps(replica: Replica, writer: Any) -> None:
    """A standby's snapshot does not tell which transactions were running, and one that is promoted has no other run."""
    await writer.execute(FILL, "acme", 1)
    async with replica.changes.load("acme", include_archived=False) as load:
        position = load.position
    snapshot, _, source = position.partition("@")
    started, standby, path = source.split(" ")
    of = [
        f"{started} {standby} {path}",
        f"{float(started) - 60} {standby} {path}",
        f"{started} t {path}",
        f"{started} f x",
    ]

    changes = await replica.changes.since([Position("acme", f"{snapshot}@{each}") for each in of])

    assert standby == "f"
    assert [each.gap for each in changes] == [False, True, True, True]
    assert [list(each.ids) for each in changes] == [[]] * 4


async def test_each_change_is_told_once_and_to_its_tenant(replica: Replica, writer: Any) -> None:
    async with replica.changes.load("acme", include_archived=False) as load:
        position = load.position
    for _ in range(3):
        await writer.execute(FILL, "acme", 2)
        await writer.execute("UPDATE messages SET importance = 0.5")
    ids = [row[0] for row in await writer.fetch("SELECT id FROM messages ORDER BY id")]

    mine, others, none = await replica.changes.since(
        [Position("acme", position), Position("globex", position), Position("acme", position)]
    )

    assert list(mine.ids) == list(none.ids) == ids
    assert list(others.ids) == []


async def test_the_pruner_goes_on_after_what_fails(
    replica: Replica, writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them do no harm, and neither does one that fails."""
    monkeypatch.setattr(message_changes, "KEPT_SECONDS", -1.0)
    asked, errors = 0, [DatabaseUnavailableError("away"), ValueError("a fault of ours")]
    prune = MessageChangeRepository.prune

    async def failing(self: MessageChangeRepository) -> int:
        nonlocal asked
        asked += 1
        if asked <= len(errors):
            raise errors[asked - 1]
        return await prune(self)

    monkeypatch.setattr(MessageChangeRepository, "prune", failing)
    await writer.execute(FILL, "acme", 3)
    with capture_logs() as logs:
        running = asyncio.gather(*(Pruner("changes", replica.changes.prune, 0.001).run() for _ in range(2)))
        await until(lambda: any(log["event"] == "pruned" for log in logs))
        running.cancel()
        await asyncio.wait([running])

    assert [log["event"] for log in logs[:2]] == ["not_pruned", "pruning_broke"]
    assert await writer.fetchval("SELECT count(*) FROM message_changes") == 0
    assert len(await replica.said()) == 3
