"""Two tenants over one database: neither sees, changes or counts what is the other's."""

import asyncio
from typing import Any

import httpx
import pytest

from deployments.schemas.api_keys import CreatedKey
from deployments.settings import Settings
from tests.integration.calls import error_of
from tests.integration.keys import AS_ROOT, ROOT_KEY, make, sent
from tests.integration.recount import make_large
from tests.integration.service import Service

Json = dict[str, Any]
Keys = tuple[CreatedKey, CreatedKey]
SECRET = "The vault's combination is zebra seven"  # noqa: S105 - what the other tenant looks for


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With a root key."""
    monkeypatch.setenv("MEMORY_API_KEYS", ROOT_KEY)
    return Settings.load()


@pytest.fixture
async def keys(service: Service) -> Keys:
    """One for each of the two tenants."""
    return await make(service, "acme"), await make(service, "globex")


async def call(service: Service, key: CreatedKey, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {**sent(key), **options.pop("headers", {})}
    return await service.client.request(method, path, headers=headers, **options)


async def store(service: Service, key: CreatedKey, content: str = SECRET, **fields: Any) -> Json:
    """Store without naming the tenant."""
    body = {"conversation_id": "c1", "role": "user", "content": content, **fields}
    answer = await call(service, key, "POST", "/v1/messages", json=body)
    assert answer.status_code == 202, answer.text
    stored: Json = answer.json()
    return stored


async def items(service: Service, key: CreatedKey, path: str, **body: Any) -> list[Json]:
    answer = await call(service, key, "POST" if body else "GET", path, **({"json": body} if body else {}))
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["items"]
    return found


async def test_the_tenant_may_be_left_out_of_every_request(service: Service, keys: Keys) -> None:
    acme, globex = keys
    stored = await store(service, acme)
    await service.embed_all()

    assert stored["tenant_id"] == "acme"
    for path in ("/v1/messages", "/v1/conversations", "/v1/memory/search?query=vault"):
        assert len(await items(service, acme, path)) == 1, path
        assert await items(service, globex, path) == [], path
    for path, body in (
        ("/v1/memory/search", {"query": "vault"}),
        ("/v1/memory/context", {"query": "vault", "conversation_id": "c1"}),
    ):
        assert len(await items(service, acme, path, **body)) == 1, path
        assert await items(service, globex, path, **body) == [], path
    assert (await call(service, acme, "GET", "/v1/conversations/c1")).json()["messages"] == 1
    assert (await call(service, globex, "GET", "/v1/conversations/c1")).status_code == 404
    assert (await call(service, globex, "DELETE", "/v1/conversations/c1")).status_code == 404
    retried = await call(service, globex, "POST", "/v1/admin/embeddings/retry", json={})
    assert retried.json() == {"retried": 0}


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/conversations", "/v1/memory/search?query=x"])
async def test_a_key_of_all_tenants_has_to_name_one(path: str, service: Service) -> None:
    answer = await service.client.get(path, headers=AS_ROOT)

    assert answer.status_code == 422
    assert {"location": ["query", "tenant_id"], "message": "Field required"} in error_of(answer)["details"]


@pytest.mark.parametrize(("method", "below"), [("GET", ""), ("GET", "/history"), ("PATCH", ""), ("DELETE", "")])
async def test_anothers_message_does_not_exist(method: str, below: str, service: Service, keys: Keys) -> None:
    acme, globex = keys
    path = f"/v1/messages/{(await store(service, acme))['id']}"
    options: Json = {"json": {"content": "Mine now"}} if method == "PATCH" else {}
    options["headers"] = {} if method == "GET" else {"If-Match": "*"}

    answer = await call(service, globex, method, f"{path}{below}", **options)

    nowhere = f"/v1/messages/0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10{below}"
    nothing = await call(service, globex, method, nowhere, **options)
    assert answer.status_code == nothing.status_code == 404
    assert error_of(answer)["message"] == error_of(nothing)["message"]
    assert (await call(service, acme, "GET", path)).json()["content"] == SECRET


async def test_anothers_failed_message_is_not_tried_again(service: Service, keys: Keys) -> None:
    acme, globex = keys
    stored = await store(service, acme)
    async with service.database.connection() as connection:
        await connection.execute("UPDATE embedding_jobs SET failed = true")
        await connection.execute("UPDATE messages SET embedding_status = 'failed'")

    answer = await call(service, globex, "POST", f"/v1/messages/{stored['id']}/retry")

    assert answer.status_code == 404
    assert (await service.jobs.counts()).failed == 1


async def test_a_batch_is_filled_in_and_judged_message_by_message(service: Service, keys: Keys) -> None:
    acme, _ = keys
    good = {"conversation_id": "c1", "role": "user", "content": "Good"}

    answer = await call(
        service, acme, "POST", "/v1/messages/batch", json={"messages": [good, {**good, "role": "x"}, "nonsense"]}
    )

    assert answer.status_code == 207
    assert [item["status"] for item in answer.json()["items"]] == [202, 422, 422]
    assert answer.json()["items"][0]["message"]["tenant_id"] == "acme"


async def test_a_batch_with_anothers_message_is_refused_whole(service: Service, keys: Keys) -> None:
    acme, _ = keys
    good = {"conversation_id": "c1", "role": "user", "content": "Good"}
    batch = {"messages": [good, {**good, "tenant_id": "globex"}]}

    answer = await call(service, acme, "POST", "/v1/messages/batch", json=batch)

    assert (answer.status_code, error_of(answer)["code"]) == (403, "forbidden")
    assert await items(service, acme, "/v1/messages") == []


async def test_a_batch_with_a_key_of_all_tenants_names_them(service: Service) -> None:
    good = {"tenant_id": "acme", "conversation_id": "c1", "role": "user", "content": "Good"}
    without = {name: value for name, value in good.items() if name != "tenant_id"}
    batch = {"messages": [good, {**good, "tenant_id": "globex"}, without]}

    answer = await service.client.post("/v1/messages/batch", json=batch, headers=AS_ROOT)

    stored, other, rejected = answer.json()["items"]
    assert [stored["message"]["tenant_id"], other["message"]["tenant_id"]] == ["acme", "globex"]
    assert rejected["error"]["details"] == [{"location": ["tenant_id"], "message": "Field required"}]


async def test_the_same_idempotency_key_is_another_for_another_tenant(service: Service, keys: Keys) -> None:
    body = {"conversation_id": "c1", "role": "user", "content": SECRET}

    stored = [
        (await call(service, key, "POST", "/v1/messages", json=body, headers={"Idempotency-Key": "k"})).json()
        for key in (*keys, *keys)
    ]

    assert [each["tenant_id"] for each in stored] == ["acme", "globex", "acme", "globex"]
    assert [each["id"] for each in stored[:2]] == [each["id"] for each in stored[2:]]
    assert stored[0]["id"] != stored[1]["id"]


async def test_a_cursor_of_another_tenant_is_refused(service: Service, keys: Keys) -> None:
    acme, globex = keys
    await make(service, "acme")
    for number in range(3):
        await store(service, acme, f"Message {number}", conversation_id=f"c{number}")

    for path in ("/v1/messages", "/v1/conversations", "/v1/admin/keys"):
        own = acme if path != "/v1/admin/keys" else await make(service, None)
        cursor = (await call(service, own, "GET", f"{path}?limit=1&tenant_id=acme")).json()["next_cursor"]
        assert cursor is not None
        answer = await call(service, globex, "GET", path, params={"limit": 1, "cursor": cursor})
        assert answer.status_code == 422, path


async def test_what_another_tenant_says_does_not_move_a_score(service: Service, keys: Keys) -> None:
    acme, globex = keys
    await make_large(service, "acme", "globex")
    for content in (SECRET, "The garden needs water", "Zebra crossings are white"):
        await store(service, acme, content)
    await service.embed_all()
    search = {"query": "zebra vault", "explain": True}
    before = await items(service, acme, "/v1/memory/search", **search)

    for number in range(30):
        await store(service, globex, f"Zebra zebra vault number {number}")
    await service.embed_all()

    assert await items(service, acme, "/v1/memory/search", **search) == before
    async with service.database.connection() as connection:
        rows = await connection.fetch("SELECT tenant_id, messages FROM tenant_terms WHERE term = 'zebra'")
    assert {row["tenant_id"]: row["messages"] for row in rows} == {"acme": 2, "globex": 30}


async def test_calls_that_wait_together_are_told_apart(service: Service, keys: Keys) -> None:
    stored = await asyncio.gather(*(store(service, key, f"{SECRET} of {key.tenant_id}") for key in keys * 10))
    assert [each["tenant_id"] for each in stored] == ["acme", "globex"] * 10
    await service.embed_all()

    async def contents(key: CreatedKey, path: str) -> set[str]:
        found = await items(service, key, path, query="zebra vault", conversation_id="c1")
        return {item["content"] for item in found}

    for path in ("/v1/memory/search", "/v1/memory/context"):
        found = await asyncio.gather(*(contents(key, path) for key in keys * 10))
        assert found == [{f"{SECRET} of acme"}, {f"{SECRET} of globex"}] * 10
