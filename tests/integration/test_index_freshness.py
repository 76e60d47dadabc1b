"""Every search sees what was acknowledged before it began, and nothing that is not committed, whatever goes on."""

import asyncio
from contextlib import suppress
from random import Random
from typing import Any
from uuid import UUID

import pytest

from deployments.errors import DatabaseUnavailableError
from deployments.search.index.resident import Limits
from deployments.settings import Settings
from tests.integration.history import History, Version
from tests.integration.indexed import INSERT, ROOMY, Replica, Said, connected, feed_only, replicas

TENANTS = ("acme", "globex", "initech")
WRITERS = 6
WRITES = 80
READERS_OF_EACH = 2
# One of these tenants has room, so that the others are loaded again and again.
CRAMPED = Limits(total_bytes=180_000, messages=100_000)


class Writer:
    """Writes messages of its own in one tenant, now and then in a transaction that others overtake."""

    def __init__(self, number: int, connection: Any, history: History) -> None:
        self._number, self._connection, self._history = number, connection, history
        self._random = Random(number)
        self._tenant = TENANTS[number % len(TENANTS)]
        self._now: dict[UUID, Version] = {}
        self._count = 0

    async def run(self) -> None:
        for _ in range(WRITES):
            if self._random.random() < 0.35:
                await self._slowly()
            else:
                await self._write(await self._begun(), commits=True)

    async def _slowly(self) -> None:
        """Write several times in a transaction, below savepoints too, while others commit; then end it either way."""
        transaction, versions = await self._begun(), dict[UUID, Version]()
        for _ in range(self._random.randint(1, 3)):
            async with self._connection.transaction():
                versions |= await self._statement(self._now | versions)
            await asyncio.sleep(self._random.random() * 0.03)
        await self._end(transaction, versions, commits=self._random.random() < 0.6)

    async def _begun(self) -> Any:
        transaction = self._connection.transaction()
        await transaction.start()
        return transaction

    async def _write(self, transaction: Any, *, commits: bool) -> None:
        await self._end(transaction, await self._statement(self._now), commits=commits)

    async def _end(self, transaction: Any, versions: dict[UUID, Version], *, commits: bool) -> None:
        if not commits:
            await transaction.rollback()
            return
        self._history.sent(self._tenant, versions)
        await transaction.commit()
        self._history.acknowledged(self._tenant, list(versions))
        self._now |= versions

    async def _statement(self, now: dict[UUID, Version]) -> dict[UUID, Version]:
        """Run one statement. Returns the versions that it makes."""
        there = [each for each, version in now.items() if version.said is not None]
        if len(there) < 3 or self._random.random() < 0.2:
            return await self._stored()
        some = self._random.sample(there, self._random.randint(1, 2))
        if self._random.random() < 0.1:
            # As an erasure does.
            some = there
        change = self._random.choice((self._deleted, self._changed, self._scored, self._archived))
        return await change(some, now)

    async def _stored(self) -> dict[UUID, Version]:
        ids = [UUID(int=self._random.getrandbits(128)) for _ in range(self._random.randint(1, 3))]
        said = self._next()
        await self._connection.execute(INSERT, self._tenant, ids, said.content)
        return dict.fromkeys(ids, Version(said._replace(importance=None)))

    async def _deleted(self, ids: list[UUID], now: dict[UUID, Version]) -> dict[UUID, Version]:
        await self._connection.execute("DELETE FROM messages WHERE id = ANY($1)", ids)
        return dict.fromkeys(ids, Version(None))

    async def _changed(self, ids: list[UUID], now: dict[UUID, Version]) -> dict[UUID, Version]:
        said = self._next()
        await self._connection.execute("UPDATE messages SET content = $2 WHERE id = ANY($1)", ids, said.content)
        return {each: now[each]._replace(said=self._of(now[each])._replace(content=said.content)) for each in ids}

    async def _scored(self, ids: list[UUID], now: dict[UUID, Version]) -> dict[UUID, Version]:
        importance = self._next().importance
        await self._connection.execute("UPDATE messages SET importance = $2 WHERE id = ANY($1)", ids, importance)
        return {each: now[each]._replace(said=self._of(now[each])._replace(importance=importance)) for each in ids}

    async def _archived(self, ids: list[UUID], now: dict[UUID, Version]) -> dict[UUID, Version]:
        await self._connection.execute("UPDATE messages SET archived = NOT archived WHERE id = ANY($1)", ids)
        return {each: now[each]._replace(archived=not now[each].archived) for each in ids}

    def _next(self) -> Said:
        self._count += 1
        return Said(f"version {self._count} of writer {self._number}", self._count / 1_000)

    @staticmethod
    def _of(version: Version) -> Said:
        assert version.said is not None
        return version.said


async def read(replica: Replica, history: History, random: Random, writing: "asyncio.Future[Any]") -> None:
    """Search until nobody writes any more, and once after that."""
    over = False
    while not over:
        over = writing.done()
        tenant, archived = random.choice(TENANTS), random.random() < 0.3
        floors = history.begin(tenant, archived=archived)
        # No answer is no wrong answer: a machine that is busy enough has connections time out.
        with suppress(DatabaseUnavailableError):
            history.check(floors, await replica.said(tenant, archived=archived))


async def prune(replica: Replica, writing: "asyncio.Future[Any]") -> None:
    """Delete all of the feed that can be, again and again: positions fall behind it, and are read anew."""
    while not writing.done():
        await replica.changes.prune()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kept_seconds", [3_600.0, 0.0], ids=["fed", "pruned"])
async def test_searches_see_all_that_was_acknowledged(
    database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, kept_seconds: float
) -> None:
    monkeypatch.setattr("deployments.storage.search.message_changes.KEPT_SECONDS", kept_seconds)
    history = History()
    async with (
        connected(database_url, WRITERS) as connections,
        replicas(database_url, settings, ROOMY, ROOMY, CRAMPED) as each,
    ):
        # Without the counts, for which the writers of a tenant wait: here they are to overtake each other.
        await feed_only(connections[0])
        writers = [Writer(number, connection, history) for number, connection in enumerate(connections)]
        writing = asyncio.ensure_future(asyncio.gather(*(writer.run() for writer in writers)))
        readers = [
            read(replica, history, Random(number), writing) for number, replica in enumerate(each * READERS_OF_EACH)
        ]
        await asyncio.gather(writing, prune(each[0], writing), *readers)

    assert history.reads > 100
    assert each[2].counted("memory_index_evictions_total") > 0
    # Those with room read whole what they do not know, and no more.
    assert kept_seconds == 0.0 or all(replica.loads <= 2 * len(TENANTS) for replica in each[:2])
