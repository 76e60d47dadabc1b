"""What a tenant may store and have embedded, and what of it is used: exact whatever happens at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest

from deployments.embedding.spaces import OneSpace
from deployments.settings import Settings
from tests.integration.calls import Json, change, error_of, message, store, store_many
from tests.integration.failing import Faulty
from tests.integration.postgres import SPACE
from tests.integration.recount import execute
from tests.integration.service import Service, create_service
from tests.integration.shared_provider import shared_provider

THERE = """
    SELECT count(*) AS messages, coalesce(sum(octet_length(content)), 0)::int AS bytes,
           count(*) FILTER (WHERE embedding_status = 'pending') AS pending_embeddings
    FROM messages WHERE tenant_id = $1
"""
A_DAY = 86_400

Limited = Callable[..., Awaitable[Service]]


@pytest.fixture
async def limited(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Limited]:
    """Makes services with quotas over one database, as replicas are."""
    async with AsyncExitStack() as stack:

        async def make(**quotas: int) -> Service:
            for name, quota in quotas.items():
                monkeypatch.setenv(f"MEMORY_QUOTA_{name.upper()}", str(quota))
            provider = shared_provider()
            service = create_service(Settings.load(), provider)
            for close in (provider.close, service.database.close, service.client.aclose):
                stack.push_async_callback(close)
            return service

        yield make


async def usage(service: Service, tenant_id: str = "acme") -> Json:
    """What is said of a tenant, which must be what is there."""
    answer = await service.client.get(f"/v1/admin/tenants/{tenant_id}/usage")
    assert answer.status_code == 200, answer.text
    said: Json = answer.json()
    async with service.database.connection() as connection:
        (there,) = await connection.fetch(THERE, tenant_id)
    assert {name: said[name] for name in there.keys()} == dict(there)  # noqa: SIM118 - a row's own are its values
    return said


async def used(service: Service, tenant_id: str = "acme") -> tuple[int, int, int, int]:
    """Messages, bytes, pending, embedded today."""
    said = await usage(service, tenant_id)
    return said["messages"], said["bytes"], said["pending_embeddings"], said["embedded_today"]


async def post(service: Service, content: str, **fields: object) -> httpx.Response:
    return await service.client.post("/v1/messages", json=message(content, **fields))


async def test_usage_is_kept_where_no_quota_is_set(service: Service) -> None:
    await store_many(service, [message("four"), message("größe"), message("x", tenant_id="globex")])
    assert await used(service) == (2, 11, 2, 0)

    await service.embed_all()

    assert await used(service) == (2, 11, 0, 2)
    assert await usage(service, "globex") == {
        "tenant_id": "globex",
        "user_id": None,
        "messages": 1,
        "bytes": 1,
        "pending_embeddings": 0,
        "embedded_today": 1,
        "quotas": {"messages": None, "bytes": None, "embeddings_per_day": None},
    }


async def test_a_tenant_that_has_stored_nothing_has_used_nothing(service: Service) -> None:
    assert await used(service, "a/b c") == (0, 0, 0, 0)


async def test_usage_follows_changes_and_deletes(service: Service) -> None:
    first, second = await store_many(service, [message("one"), message("three")])
    await service.embed_all()

    await change(service, first["id"], content="thirteen")
    assert await used(service) == (2, 13, 1, 2)
    await service.embed_all()
    assert await used(service) == (2, 13, 0, 3)

    await change(service, first["id"], metadata={"a": 1})
    await execute(service, "UPDATE messages SET archived = true WHERE tenant_id = 'acme'")
    assert await used(service) == (2, 13, 0, 3)

    await service.client.delete(f"/v1/messages/{second['id']}")
    assert await used(service) == (1, 8, 0, 3)
    await store(service, "waits")
    await service.client.delete("/v1/conversations/c1", params={"tenant_id": "acme"})
    assert await used(service) == (0, 0, 0, 3)


async def test_what_was_changed_while_it_waited_is_counted_as_it_is_now(service: Service) -> None:
    stored = await store(service, "one")

    await change(service, stored["id"], content="thirteen")
    assert await used(service) == (1, 8, 1, 0)
    await service.embed_all()
    assert await used(service) == (1, 8, 0, 1)


async def test_a_failed_message_is_stored_but_not_embedded(service: Service) -> None:
    stored = await store(service, "four")
    service.worker._embedder = OneSpace(SPACE, Faulty())
    service.worker._settings = service.settings.embedding.model_copy(update={"max_attempts": 1})
    await service.worker.work_once()
    assert await used(service) == (1, 4, 0, 0)

    await service.client.post(f"/v1/messages/{stored['id']}/retry")
    assert await used(service) == (1, 4, 1, 0)


async def test_a_new_day_begins_at_nothing(service: Service) -> None:
    await store(service)
    await service.embed_all()
    await execute(service, "UPDATE tenant_usage SET embedded_on = embedded_on - 1")
    assert (await usage(service))["embedded_today"] == 0

    await store(service)
    await service.embed_all()

    assert (await usage(service))["embedded_today"] == 1


async def test_what_was_imported_with_its_vector_was_not_embedded_here(service: Service) -> None:
    await execute(
        service,
        """INSERT INTO messages (id, tenant_id, conversation_id, role, content, embedding_status, terms, created_at,
                                 updated_at)
           VALUES (gen_random_uuid(), 'acme', 'c1', 'user', 'four', 'completed', '', now(), now())""",
    )

    assert await used(service) == (1, 4, 0, 0)


async def test_no_more_messages_are_stored_than_the_quota(limited: Limited) -> None:
    service = await limited(messages=2)
    first = await store(service)
    await service.embed_all()
    await store(service)

    refused = await post(service, "one too many")
    error = error_of(refused)

    assert (refused.status_code, error["code"]) == (413, "quota_messages_exceeded")
    assert error["details"] == {"quota": 2, "used": 2}
    assert (await post(service, "another tenant's", tenant_id="globex")).status_code == 202
    await service.client.delete(f"/v1/messages/{first['id']}")
    assert (await post(service, "there is room again")).status_code == 202
    assert (await usage(service))["quotas"] == {"messages": 2, "bytes": None, "embeddings_per_day": None}


async def test_bytes_are_those_of_utf_8(limited: Limited) -> None:
    service = await limited(bytes=6)
    await store(service, "äö")

    refused = await post(service, "äa")

    assert (refused.status_code, error_of(refused)["code"]) == (413, "quota_bytes_exceeded")
    assert error_of(refused)["details"] == {"quota": 6, "used": 4, "asked": 3}
    assert (await post(service, "ä")).status_code == 202


async def test_a_change_may_not_grow_beyond_the_quota(limited: Limited) -> None:
    service = await limited(bytes=8)
    stored = await store(service, "four")
    path = f"/v1/messages/{stored['id']}"

    refused = await service.client.patch(path, json={"content": "nine long"})
    assert (refused.status_code, error_of(refused)["code"]) == (413, "quota_bytes_exceeded")
    assert await used(service) == (1, 4, 1, 0)

    assert (await change(service, stored["id"], content="eight ch"))["content"] == "eight ch"
    assert await used(service) == (1, 8, 1, 0)


async def test_what_is_beyond_a_lowered_quota_may_still_be_made_smaller(limited: Limited, service: Service) -> None:
    stored = await store(service, "much too long")
    lowered = await limited(bytes=5)

    assert (await change(lowered, stored["id"], content="still long"))["content"] == "still long"


async def test_no_more_texts_are_embedded_in_a_day_than_the_quota(limited: Limited) -> None:
    service = await limited(embeddings_per_day=2)
    first = await store(service)
    await service.embed_all()
    await store(service)

    refused = await post(service, "tomorrow")

    assert (refused.status_code, error_of(refused)["code"]) == (429, "quota_embeddings_exceeded")
    assert 0 < int(refused.headers["Retry-After"]) <= A_DAY
    again = await service.client.patch(f"/v1/messages/{first['id']}", json={"content": "anew"})
    assert (again.status_code, error_of(again)["code"]) == (429, "quota_embeddings_exceeded")
    assert (await change(service, first["id"], importance_override=0.5))["importance_score"] == 0.5
    await service.embed_all()
    await execute(service, "UPDATE tenant_usage SET embedded_on = embedded_on - 1")
    assert (await post(service, "a new day")).status_code == 202


async def test_a_message_that_waits_already_may_be_changed_without_another_embedding(limited: Limited) -> None:
    service = await limited(embeddings_per_day=1)
    stored = await store(service)

    assert (await change(service, stored["id"], content="anew"))["embedding_status"] == "pending"


async def test_of_a_batch_only_what_is_beyond_the_quota_is_rejected(limited: Limited) -> None:
    service = await limited(messages=2, bytes=10)
    batch = [message("four"), message(""), message("seven b"), message("six by"), message("x"), message("y" * 99)]
    batch.append(message("of another", tenant_id="globex"))

    answer = await service.client.post("/v1/messages/batch", json={"messages": batch})
    items = answer.json()["items"]

    assert answer.status_code == 207
    assert [item["status"] for item in items] == [202, 422, 413, 202, 413, 413, 202]
    assert [items[n]["error"]["code"] for n in (2, 4)] == ["quota_bytes_exceeded", "quota_messages_exceeded"]
    assert await used(service) == (2, 10, 2, 0)


async def test_a_refused_store_does_not_use_up_its_idempotency_key(limited: Limited) -> None:
    service = await limited(messages=1)
    first = await store(service)
    headers = {"Idempotency-Key": "k"}

    refused = await service.client.post("/v1/messages", json=message("later"), headers=headers)
    await service.client.delete(f"/v1/messages/{first['id']}")
    stored = await service.client.post("/v1/messages", json=message("later"), headers=headers)
    again = await service.client.post("/v1/messages", json=message("later"), headers=headers)

    assert [refused.status_code, stored.status_code, again.status_code] == [413, 202, 202]
    assert stored.json()["id"] == again.json()["id"]


@pytest.mark.parametrize("quota", ["messages", "bytes", "embeddings_per_day"])
async def test_two_replicas_at_once_let_in_exactly_the_quota(limited: Limited, quota: str) -> None:
    """While workers embed, and what is stored moves from what waits to what is settled."""
    replicas = [await limited(**{quota: 57}) for _ in range(2)]
    embedding = asyncio.create_task(replicas[0].worker.run())

    singles = [post(replica, "x") for replica in replicas for _ in range(40)]
    batches = [
        replica.client.post("/v1/messages/batch", json={"messages": [message("y")] * 10})
        for replica in replicas
        for _ in range(3)
    ]
    answers = await asyncio.gather(*singles, *batches)
    embedding.cancel()
    await asyncio.wait([embedding])

    assert {answer.status_code for answer in answers} <= {202, 207, 413, 429}
    assert (await usage(replicas[0]))["messages"] == 57
