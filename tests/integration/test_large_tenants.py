"""Tenants that grow past the border and shrink below it, while they are written to and searched."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from deployments.embedding.indexing_worker import IndexingWorker
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.settings import Settings
from deployments.storage.search import large_tenants
from deployments.storage.search.candidates import CandidateRepository, TenantSize
from deployments.storage.search.large_tenants import LargeTenantRepository, border
from tests.integration.calls import change, found, message, store, store_many
from tests.integration.recount import execute, recounted
from tests.integration.service import Service, create_service
from tests.integration.test_term_statistics import Actions

LIMIT = 20
STATES = "SELECT tenant_id, state FROM large_tenants ORDER BY tenant_id"
INDEXED = "SELECT count(*) FILTER (WHERE indexed) || ' of ' || count(*) FROM messages WHERE tenant_id = $1"
APPLES = [f"apple {n}" for n in range(30)]


@pytest.fixture
async def service(settings: Settings, provider: EmbeddingProvider) -> AsyncIterator[Service]:
    """A service that searches by SQL, where tenants of more than 16 messages grow."""
    search = settings.search.model_copy(update={"index_bytes": 0, "exact_limit": LIMIT})
    async with create_service(replace(settings, search=search), provider) as service:
        yield service


@pytest.fixture
def tenants(service: Service) -> LargeTenantRepository:
    """What the worker works by."""
    return LargeTenantRepository(service.database, service.settings.search)


async def work(service: Service) -> None:
    await IndexingWorker(LargeTenantRepository(service.database, service.settings.search)).work_once()


async def states(service: Service) -> dict[str, str]:
    async with service.database.connection() as connection:
        return {row["tenant_id"]: row["state"] for row in await connection.fetch(STATES)}


async def indexed(service: Service, tenant_id: str = "acme") -> str:
    async with service.database.connection() as connection:
        return str(await connection.fetchval(INDEXED, tenant_id))


async def fill(service: Service, contents: list[str] = APPLES, **fields: str) -> list[str]:
    stored = await store_many(service, [message(each, **fields) for each in contents])
    await service.embed_all()
    return [each["id"] for each in stored]


async def delete(service: Service, ids: list[str]) -> None:
    for each in ids:
        assert (await service.client.delete(f"/v1/messages/{each}")).status_code == 204


async def test_a_small_tenant_is_in_no_index_and_none_of_its_terms_is_counted(service: Service) -> None:
    await fill(service, APPLES[:10])
    await work(service)

    assert await states(service) == {}
    assert await indexed(service) == "0 of 10"
    async with service.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM tenant_terms") == 0
        assert await connection.fetchval("SELECT embedding_sum FROM tenant_statistics") is None
    assert (await found(service, "apple 7"))[0] == "apple 7"
    await recounted(service)


async def test_a_tenant_that_grows_is_indexed_and_stays_so(service: Service) -> None:
    await fill(service)
    await fill(service, APPLES[:5], tenant_id="globex")
    await work(service)

    assert await states(service) == {"acme": "ready"}
    assert (await indexed(service), await indexed(service, "globex")) == ("30 of 30", "0 of 5")

    await store(service, "quince")
    assert await indexed(service) == "31 of 31"
    assert (await found(service, "quince"))[0] == "quince"
    await service.embed_all()
    assert (await recounted(service))["acme"].messages == 31
    assert (await found(service, "quince"))[0] == "quince"


async def test_a_tenant_that_shrinks_leaves_the_indexes(service: Service) -> None:
    ids = await fill(service)
    await work(service)

    await delete(service, ids[:14])
    await work(service)
    assert await states(service) == {"acme": "ready"}, "not as long as it is near the border"

    await delete(service, ids[14:21])
    await work(service)
    assert await states(service) == {}
    assert await indexed(service) == "0 of 9"
    await recounted(service)
    assert len(await found(service, "apple", top_k=50)) == 9


async def test_what_happens_while_a_tenant_grows_and_shrinks_is_counted_and_found(
    service: Service, tenants: LargeTenantRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_tenants, "MARKED_AT_ONCE", 4)
    ids = await fill(service)
    assert (await tenants.notice()).growing == ["acme"]

    async def looks_right(count: int) -> None:
        assert len(await found(service, "apple", top_k=50)) == count
        await recounted(service)

    await tenants.step([])
    assert await indexed(service) == "4 of 30"
    await looks_right(30)
    await delete(service, [ids[0], ids[20]])
    await change(service, ids[1], content="apple pie")
    await change(service, ids[21], content="apple tart")
    await store(service, "apple of long ago", created_at="2001-01-01T00:00:00Z")
    await looks_right(29)
    await execute(service, "UPDATE messages SET archived = true WHERE id = ANY($1::uuid[])", [ids[2], ids[22]])
    await tenants.step([])
    await service.embed_all()
    await looks_right(27)
    await work(service)
    assert await states(service) == {"acme": "ready"}
    assert await indexed(service) == "29 of 29"
    await looks_right(27)

    await delete(service, ids[3:20] + ids[23:27])
    assert (await tenants.notice()).leaving == ["acme"]
    await tenants.step([])
    assert await indexed(service) == "4 of 8"
    await store(service, "apple at last")
    await looks_right(7)
    await work(service)
    assert (await states(service), await indexed(service)) == ({}, "0 of 9")
    await looks_right(7)


async def test_a_writer_that_began_before_is_waited_for(
    service: Service, tenants: LargeTenantRepository, database_url: str
) -> None:
    """Its message is not marked by itself: it does not know that the tenant grows."""
    await fill(service)
    writer = await asyncpg.connect(database_url)
    async with writer.transaction():
        await writer.execute(
            "INSERT INTO messages (id, tenant_id, conversation_id, role, content, terms, created_at, updated_at)"
            " VALUES (gen_random_uuid(), 'acme', 'c1', 'user', 'late', '''late''', now(), now())"
        )
        await work(service)
        assert await states(service) == {"acme": "growing"}
        assert await indexed(service) == "30 of 30"
    await writer.close()
    assert await indexed(service) == "30 of 31"
    assert (await found(service, "late"))[0] == "late", "searches are exact until all is indexed"

    await work(service)
    assert await states(service) == {"acme": "ready"}
    assert await indexed(service) == "31 of 31"
    assert (await found(service, "late"))[0] == "late"


async def test_a_message_that_another_holds_is_marked_when_it_is_free(service: Service, database_url: str) -> None:
    ids = await fill(service)
    holder = await asyncpg.connect(database_url)
    async with holder.transaction():
        await holder.execute("UPDATE messages SET metadata = '{}' WHERE id = $1", ids[3])
        await work(service)
        assert await states(service) == {"acme": "growing"}
    await holder.close()

    await work(service)
    assert (await states(service), await indexed(service)) == ({"acme": "ready"}, "30 of 30")


async def test_two_workers_share_the_tenants(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_tenants, "MARKED_AT_ONCE", 3)
    for tenant_id in ("a", "b", "c"):
        await fill(service, tenant_id=tenant_id)

    await asyncio.gather(*(work(service) for _ in range(3)))

    await work(service)
    assert await states(service) == dict.fromkeys("abc", "ready")
    await recounted(service)


async def test_a_search_that_took_a_tenant_for_large_looks_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(service)

    async def large(_: CandidateRepository, __: str) -> TenantSize:
        return TenantSize(indexed=True, embedded=1_000)

    monkeypatch.setattr(CandidateRepository, "size", large)

    assert (await found(service, "apple 7"))[0] == "apple 7"
    assert len(await found(service, "apple", top_k=50)) == 30


async def test_marks_are_no_changes_to_indexes_in_memory(service: Service) -> None:
    await fill(service)
    async with service.database.connection() as connection:
        before = await connection.fetchval("SELECT count(*) FROM message_changes")
        await work(service)
        assert await indexed(service) == "30 of 30"
        assert await connection.fetchval("SELECT count(*) FROM message_changes") == before
        await connection.execute("UPDATE messages SET archived = true WHERE tenant_id = 'acme'")
        assert await connection.fetchval("SELECT count(*) FROM message_changes") == before + 1


async def test_a_message_that_comes_from_another_tenant_is_indexed(service: Service) -> None:
    await fill(service)
    await fill(service, ["quince"], tenant_id="globex")
    await work(service)

    await execute(service, "UPDATE messages SET tenant_id = 'acme' WHERE tenant_id = 'globex'")

    assert await indexed(service) == "31 of 31"
    assert (await found(service, "quince"))[0] == "quince"
    await recounted(service)


async def test_an_erased_tenant_is_not_large_any_more(service: Service) -> None:
    await fill(service)
    await work(service)

    assert (await service.client.delete("/v1/admin/tenants/acme")).status_code == 200

    assert await states(service) == {}


@pytest.mark.parametrize("seed", range(2))
async def test_all_is_right_after_growing_and_shrinking_under_load(service: Service, seed: int) -> None:
    actions = Actions(service, seed)
    for _ in range(10):
        await actions.store()
    busy = [True]

    async def keep(do: object, *arguments: object) -> None:
        while busy[0]:
            await do(*arguments)  # type: ignore[operator]
            await asyncio.sleep(0)

    async def act() -> None:
        # Not `archive`: the rows of an operator's UPDATE come in no order, and two of them may deadlock.
        for _ in range(50):
            choices = [actions.store, actions.change, actions.delete, actions.delete_conversation]
            await actions.random.choice(choices)()

    background = [
        asyncio.create_task(each)
        for each in (keep(work, service), keep(work, service), keep(actions.work), keep(actions.work))
    ]
    try:
        await asyncio.gather(*(act() for _ in range(4)))
    finally:
        busy[0] = False
        await asyncio.gather(*background)

    await recounted(service)
    await service.embed_all()
    for _ in range(2):
        await work(service)
    counted = await recounted(service)
    for tenant_id, state in (await states(service)).items():
        assert state == "ready"
        marked, _, total = (await indexed(service, tenant_id)).partition(" of ")
        assert marked == total
        assert counted[tenant_id].messages


def test_the_border_is_beyond_memory_and_beyond_exact_search(settings: Settings) -> None:
    search = settings.search.model_copy(update={"index_bytes": 2_000_000, "index_messages": 900, "exact_limit": 100})

    assert border(search, 175) == (100, 900, 1_000_000, 1_000)
    assert border(search, 175).at(0.5) == (50, 450, 500_000, 1_000)
    without_memory = search.model_copy(update={"index_bytes": 0})
    assert border(without_memory, 175) == (100, 0, 0, 1_000)


async def test_a_tenant_grows_only_beyond_what_memory_holds(settings: Settings, provider: EmbeddingProvider) -> None:
    search = settings.search.model_copy(update={"exact_limit": 0, "index_messages": 50})
    async with create_service(replace(settings, search=search), provider) as service:
        await fill(service)
        await work(service)
        assert await states(service) == {}
        await fill(service, [f"pear {uuid4()}" for _ in range(11)])
        await work(service)
        assert await states(service) == {"acme": "ready"}
