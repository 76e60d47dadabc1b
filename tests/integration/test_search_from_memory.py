"""Searches from memory over HTTP: what an index does not hold, and what happens between two of its steps."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.schemas.vectors import EmbeddingSpace, QueryVector
from deployments.search import best_first, from_memory
from deployments.search.index.tenant_index import KEPT_CHARACTERS
from deployments.search.query_embedding import QueryEmbedding
from deployments.storage.search.hit_contents import HitContents
from tests.integration.calls import change, found, message, search, store, store_many
from tests.integration.indexed import connected
from tests.integration.service import Service


async def test_contents_too_long_for_memory_come_whole(service: Service) -> None:
    long = f"pelican {'x ' * KEPT_CHARACTERS}"
    await store(service, long)
    await store(service, "pelican, short")
    await service.embed_all()

    assert set(await found(service, "pelican")) == {long, "pelican, short"}
    # Also where words alone count, and where it changes.
    other = f"heron {'y ' * KEPT_CHARACTERS}"
    stored = await store(service, other)
    assert other in await found(service, "heron")
    await change(service, stored["id"], content=other.replace("heron", "stork"))
    assert (await found(service, "stork"))[0] == other.replace("heron", "stork")


async def test_what_is_deleted_before_its_long_content_is_read_is_left_out(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(service, f"pelican {'x ' * KEPT_CHARACTERS}")
    await store(service, "pelican, short")
    read = HitContents.read

    async def deleted_first(self: HitContents, *arguments: Any) -> dict[Any, str]:
        async with connected(database_url) as (other,):
            await other.execute("DELETE FROM messages WHERE length(content) > 100")
        return await read(self, *arguments)

    monkeypatch.setattr(HitContents, "read", deleted_first)
    answer = await search(service, "pelican", neighbors=1)

    assert [hit["content"] for hit in answer["items"]] == ["pelican, short"]
    assert answer["total"] == 1


async def test_metadata_are_filtered_by_what_they_are_now(service: Service) -> None:
    red = await store(service, "pelican one", metadata={"colour": "red", "tags": ["a", "b"]})
    blue = await store(service, "pelican two", metadata={"colour": "blue"})
    await store(service, "pelican of another", tenant_id="globex", metadata={"colour": "red"})

    assert await found(service, "pelican", metadata={"colour": "red"}) == ["pelican one"]
    assert await found(service, "pelican", metadata={"tags": ["b"]}) == ["pelican one"]
    assert await found(service, "pelican", metadata={"colour": "green"}) == []
    await change(service, blue["id"], metadata={"colour": "red"})
    await change(service, red["id"], metadata={"colour": None})
    assert await found(service, "pelican", metadata={"colour": "red"}) == ["pelican two"]


async def test_turns_follow_their_times_whatever_the_clock_did(service: Service) -> None:
    """A clock that stepped back stores a turn before the one that was stored before it; an import does, too."""
    now = datetime.now(UTC) - timedelta(hours=2)
    times = [now, now - timedelta(hours=1), now + timedelta(hours=1), now - timedelta(hours=1)]
    for number, when in enumerate(times):
        await store(service, f"pelican {number}", created_at=when.isoformat())
        assert f"pelican {number}" in await found(service, "pelican")

    hits = (await search(service, "pelican 0", neighbors=1))["items"]
    (first,) = [hit for hit in hits if hit["content"] == "pelican 0"]
    assert first["neighbors"][-1]["content"] == "pelican 2"
    since = await found(service, "pelican", created_after=now.isoformat())
    assert set(since) == {"pelican 0", "pelican 2"}


async def test_many_equal_messages_hide_none_that_differs(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best repeat each other: more are looked at, though not without end."""
    await store_many(service, [message("pelican pelican") for _ in range(60)])
    tail = "pelican and a long tail of other words that nobody asked for"
    await store(service, tail, conversation_id="c2")

    assert len(set(await found(service, "pelican", top_k=3))) == 2

    looks, look = [], from_memory.FromMemory._look

    def counted(self: Any, *arguments: Any) -> Any:
        looks.append(arguments[-1])
        return look(self, *arguments)

    monkeypatch.setattr(from_memory.FromMemory, "_look", counted)
    monkeypatch.setattr(best_first, "LOOKED_AT_MOST", 20)
    assert len(await found(service, "pelican", top_k=3)) == 3
    # Where few have to do with the query, once is enough.
    assert await found(service, "nobody") == [tail]
    assert looks == [13, 52, 20]


async def test_an_index_in_another_space_than_the_query_is_read_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What embeds may know of a switch before the index does: the answer is whole nonetheless."""
    await store(service, "pelican")
    await service.embed_all()
    assert not (await search(service, "pelican"))["degraded"]
    asked, vector_of = 0, QueryEmbedding.vector

    async def ahead(self: QueryEmbedding, *arguments: Any) -> QueryVector | None:
        nonlocal asked
        asked += 1
        vector = await vector_of(self, *arguments)
        assert vector is not None
        return replace(vector, space=EmbeddingSpace("new", 256)) if asked == 1 else vector

    monkeypatch.setattr(QueryEmbedding, "vector", ahead)
    answer = await search(service, "pelican")

    assert not answer["degraded"]
    assert [hit["similarity"] is not None for hit in answer["items"]] == [True]
    assert asked == 2


async def test_a_search_that_is_given_up_leaves_its_load_to_others(service: Service) -> None:
    await store(service, "pelican")
    searches = [asyncio.create_task(search(service, "pelican")) for _ in range(3)]
    await asyncio.sleep(0)
    searches[0].cancel()

    answers = await asyncio.gather(*searches, return_exceptions=True)

    assert isinstance(answers[0], asyncio.CancelledError)
    assert [answer["total"] for answer in answers[1:] if isinstance(answer, dict)] == [1, 1]


async def test_archived_messages_are_searched_where_they_are_asked_for(service: Service, database_url: str) -> None:
    stored = await store_many(service, [message(f"pelican {number}") for number in range(30)])
    assert len(await found(service, "pelican", top_k=100)) == 30
    assert len(await found(service, "pelican", top_k=100, include_archived=True)) == 30
    async with connected(database_url) as (retention,):
        await retention.execute("UPDATE messages SET archived = true WHERE id <> $1", stored[7]["id"])

    assert await found(service, "pelican", top_k=100) == ["pelican 7"]
    assert len(await found(service, "pelican", top_k=100, include_archived=True)) == 30
