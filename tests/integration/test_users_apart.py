"""Keys that are bound to one user of a tenant: what is another's is neither seen nor changed, whatever the route."""

import asyncio
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import pytest
from alembic import command

from deployments.schemas.api_keys import CreatedKey, KeyScope
from deployments.settings import Settings
from deployments.storage.postgres.schema import upgrade
from tests.integration.calls import error_of, message
from tests.integration.keys import AS_ROOT, ROOT_KEY, make, sent
from tests.integration.postgres import PostgresServer
from tests.integration.service import Service
from tests.integration.test_access import TABLE, operations
from tests.integration.test_schema import config_for, fetch

Json = dict[str, Any]
SECRET = "The vault's combination is zebra seven"  # noqa: S105 - what the other user looks for
USERS = [KeyScope.READ, KeyScope.WRITE]
NOWHERE = "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10"


class Two(NamedTuple):
    """The keys of two users of acme."""

    ada: CreatedKey
    bob: CreatedKey


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With a root key."""
    monkeypatch.setenv("MEMORY_API_KEYS", ROOT_KEY)
    return Settings.load()


@pytest.fixture
async def keys(service: Service) -> Two:
    """One for each of the two users."""
    return Two(await make(service, "acme", *USERS, user_id="ada"), await make(service, "acme", *USERS, user_id="bob"))


async def call(service: Service, key: CreatedKey, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {**sent(key), **options.pop("headers", {})}
    return await service.client.request(method, path, headers=headers, **options)


async def store(service: Service, key: CreatedKey | None, content: str = SECRET, **fields: Any) -> Json:
    """Store without naming tenant or user; no key: as root."""
    body = {"conversation_id": "c1", "role": "user", "content": content, **fields}
    headers = AS_ROOT if key is None else sent(key)
    answer = await service.client.post("/v1/messages", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    stored: Json = answer.json()
    return stored


async def contents(service: Service, key: CreatedKey, path: str, **body: Any) -> list[str]:
    answer = await call(service, key, "POST" if body else "GET", path, **({"json": body} if body else {}))
    assert answer.status_code == 200, answer.text
    return [each["content"] for each in answer.json()["items"]]


@dataclass(frozen=True)
class Held:
    """A route that a user's key may use. `status`: what it answers where everything it could see is another user's."""

    status: int
    query: Json | None = None
    body: Json | None = None


OWN = {"conversation_id": "bob's", "role": "user", "content": "Mine"}
# Every other route refuses such keys.
HELD = {
    "POST /v1/messages": Held(202, body=OWN),
    "POST /v1/messages/batch": Held(202, body={"messages": [OWN]}),
    "PUT /v1/messages": Held(409, body={**OWN, "external_id": "hers"}),
    "PUT /v1/messages/batch": Held(207, body={"messages": [{**OWN, "external_id": "hers"}, 7]}),
    "POST /v1/messages/get": Held(200, body={"external_ids": ["hers", "theirs"]}),
    "POST /v1/messages/delete": Held(200, body={"external_ids": ["hers", "theirs"]}),
    "GET /v1/messages": Held(200),
    "GET /v1/messages/{message_id}": Held(404),
    "GET /v1/messages/{message_id}/history": Held(404),
    "PATCH /v1/messages/{message_id}": Held(404, body={"content": "Mine now"}),
    "DELETE /v1/messages/{message_id}": Held(404),
    "POST /v1/messages/{message_id}/retry": Held(404),
    "GET /v1/memory/search": Held(200, query={"query": "vault zebra"}),
    "POST /v1/memory/search": Held(200, body={"query": "vault zebra", "neighbors": 2, "include_archived": True}),
    "POST /v1/memory/context": Held(200, body={"conversation_id": "c1", "query": "vault zebra", "neighbors": 2}),
    "GET /v1/conversations": Held(200),
    "GET /v1/conversations/{conversation_id}": Held(404),
    "DELETE /v1/conversations/{conversation_id}": Held(404),
    "POST /v1/facts": Held(202, body={"content": "Mine"}),
    "POST /v1/facts/batch": Held(202, body={"facts": [{"content": "Mine"}]}),
    "GET /v1/facts": Held(200),
    "GET /v1/facts/{fact_id}": Held(404),
    "GET /v1/facts/{fact_id}/history": Held(404),
    "PATCH /v1/facts/{fact_id}": Held(404, body={"content": "Mine now"}),
    "DELETE /v1/facts/{fact_id}": Held(404),
    "POST /v1/facts/{fact_id}/retry": Held(404),
}


async def stored_by_others(service: Service, keys: Two) -> list[Json]:
    """Store a message of ada's, and one of nobody's."""
    nobodys = await store(service, None, tenant_id="acme", external_id="theirs")
    return [await store(service, keys.ada, external_id="hers"), nobodys]


OPEN = {operation for operation, access in TABLE.items() if access.scope is None}


async def test_no_route_shows_or_changes_what_is_another_users(service: Service, keys: Two) -> None:
    """One database for all routes: whatever one of them changes, the end tells."""
    others = await stored_by_others(service, keys)
    await service.embed_all()

    for operation in sorted(set(operations()) - OPEN):
        held = HELD.get(operation)
        asked = held or TABLE[operation]
        method, path = operation.split()
        for each in others:
            url = path.format(
                message_id=each["id"],
                fact_id=each["id"],
                conversation_id="c1",
                tenant_id="acme",
                key_id=keys.ada.id,
                run_id=NOWHERE,
            )
            answer = await call(service, keys.bob, method, url, json=asked.body, params=asked.query)
            assert (operation, answer.status_code) == (operation, held.status if held else 403)
            assert not [leak for leak in (SECRET, '"ada"', '"c1"') if leak in answer.text], operation

    for each in others:
        kept = await service.client.get(f"/v1/messages/{each['id']}", headers=AS_ROOT)
        assert (kept.status_code, kept.json()["content"]) == (200, SECRET)
    assert (await service.client.get("/v1/messages", headers=sent(keys.ada))).status_code == 200


NAMING: dict[str, Json] = {
    "POST /v1/messages": {"json": {**OWN, "user_id": "ada"}},
    "PUT /v1/messages": {"json": {**OWN, "user_id": "ada", "external_id": "hers"}},
    "PUT /v1/messages/batch": {"json": {"messages": [OWN, {**OWN, "user_id": "ada", "external_id": "hers"}]}},
    "POST /v1/messages/get": {"json": {"user_id": "ada", "external_ids": ["hers"]}},
    "POST /v1/messages/delete": {"json": {"user_id": "ada", "external_ids": ["hers"]}},
    "POST /v1/messages/batch": {"json": {"messages": [OWN, {**OWN, "user_id": "ada"}]}},
    "GET /v1/messages": {"params": {"user_id": "ada"}},
    "GET /v1/memory/search": {"params": {"user_id": "ada", "query": "x"}},
    "POST /v1/memory/search": {"json": {"user_id": "ada", "query": "x"}},
    "POST /v1/memory/context": {"json": {"user_id": "ada", "query": "x", "conversation_id": "c1"}},
    "GET /v1/conversations": {"params": {"user_id": "ada"}},
    "GET /v1/conversations/c1": {"params": {"user_id": "ada"}},
    "DELETE /v1/conversations/c1": {"params": {"user_id": "ada"}},
}


async def test_another_user_may_not_be_named(service: Service, keys: Two) -> None:
    await store(service, keys.ada)

    for operation, named in NAMING.items():
        answer = await call(service, keys.bob, *operation.split(), **named)
        assert (operation, answer.status_code, error_of(answer)["code"]) == (operation, 403, "forbidden")

    assert await contents(service, keys.bob, "/v1/messages") == []
    assert await contents(service, keys.ada, "/v1/messages") == [SECRET]


@pytest.mark.parametrize("whose", [0, 1])
async def test_names_of_others_messages_are_refused_whatever_is_stored_under_them(
    service: Service, keys: Two, whose: int
) -> None:
    other = (await stored_by_others(service, keys))[whose]
    # Word for word what is there: of the caller's own it would be answered again.
    again = {"conversation_id": "c1", "role": "user", "content": SECRET}
    by_name, by_id = {**again, "external_id": other["external_id"]}, {**again, "id": other["id"]}
    named, taken = (409, "external_id_conflict"), (409, "id_taken")

    async def told(method: str, body: Json, **headers: str) -> list[tuple[int, str]]:
        """What a call and a batch of it alone say."""
        sent_alone = await call(service, keys.bob, method, "/v1/messages", json=body, headers=headers)
        path = "/v1/messages/batch"
        together = await call(service, keys.bob, method, path, json={"messages": [body]}, headers=headers)
        assert '"ada"' not in sent_alone.text + together.text
        (item,) = together.json()["items"]
        return [(sent_alone.status_code, error_of(sent_alone)["code"]), (item["status"], item["error"]["code"])]

    for headers in ({}, {"Idempotency-Key": "k1"}):
        assert await told("POST", by_name, **headers) == [named] * 2
    for headers in ({}, {"Idempotency-Key": "k2"}):
        assert await told("POST", by_id, **headers) == [taken] * 2
    for headers in ({}, {"If-None-Match": "*"}, {"If-Match": '"1"'}, {"If-Match": "*"}):
        assert await told("PUT", by_name, **headers) == [named] * 2
    assert await told("PUT", {**by_id, "external_id": "bob's"}) == [taken] * 2

    kept = await service.client.get(f"/v1/messages/{other['id']}", headers=AS_ROOT)
    assert (kept.json()["version"], kept.json()["user_id"]) == (1, other["user_id"])
    assert await contents(service, keys.bob, "/v1/messages") == []


async def test_a_users_own_names_are_put_got_and_deleted(service: Service, keys: Two) -> None:
    await stored_by_others(service, keys)
    mine = await store(service, keys.bob, "Mine", external_id="mine")
    names = {"external_ids": ["hers", "mine", "theirs"]}

    async def named(path: str) -> list[int]:
        answer = await call(service, keys.bob, "POST", f"/v1/messages/{path}", json=names)
        return [each["status"] for each in answer.json()["items"]]

    assert (await store(service, keys.bob, "Mine", external_id="mine"))["id"] == mine["id"]
    put = await call(service, keys.bob, "PUT", "/v1/messages", json={**OWN, "external_id": "mine", "content": "New"})
    assert (put.status_code, put.json()["id"], put.json()["user_id"]) == (200, mine["id"], "bob")
    assert await named("get") == [404, 200, 404]
    assert await named("delete") == [404, 200, 404]
    assert await named("get") == [404, 404, 404]
    assert await contents(service, keys.ada, "/v1/messages") == [SECRET]


async def test_what_a_message_said_of_another_user_stays_with_that_one(service: Service, keys: Two) -> None:
    """Whoever may see the tenant may give a message to another user."""
    stored = await store(service, keys.ada, external_id="moved")
    body = {**OWN, "tenant_id": "acme", "external_id": "moved", "user_id": "bob", "content": "Bob's now"}
    for content in ("Bob's now", "Bob's still"):
        put = await service.client.put("/v1/messages", json={**body, "content": content}, headers=AS_ROOT)
        assert put.status_code == 200
    path = f"/v1/messages/{stored['id']}/history"

    assert await contents(service, keys.bob, path) == ["Bob's still", "Bob's now"]
    page = (await call(service, keys.bob, "GET", f"{path}?limit=1")).json()
    page = (await call(service, keys.bob, "GET", f"{path}?limit=1&cursor={page['next_cursor']}")).json()
    assert [each["content"] for each in page["items"]] == ["Bob's now"]
    assert page["next_cursor"] is None
    assert (await call(service, keys.ada, "GET", path)).status_code == 404


async def test_a_user_sees_and_changes_its_own(service: Service, keys: Two) -> None:
    stored = await store(service, keys.ada, "Ada's zebra")
    await store(service, keys.bob, "Bob's zebra")
    batch = await call(service, keys.ada, "POST", "/v1/messages/batch", json={"messages": [OWN, {**OWN, "role": 1}]})
    await service.embed_all()

    assert (stored["tenant_id"], stored["user_id"]) == ("acme", "ada")
    assert [each["status"] for each in batch.json()["items"]] == [202, 422]
    assert batch.json()["items"][0]["message"]["user_id"] == "ada"
    path = f"/v1/messages/{stored['id']}"
    changed = await call(service, keys.ada, "PATCH", path, json={"content": "Ada's own zebra"})
    assert (changed.status_code, changed.json()["user_id"]) == (200, "ada")
    assert (await call(service, keys.ada, "POST", f"{path}/retry")).status_code == 202
    assert await contents(service, keys.ada, "/v1/memory/search?query=zebra") == ["Ada's own zebra", "Mine"]
    assert await contents(service, keys.ada, "/v1/memory/search", query="zebra", neighbors=1) == [
        "Ada's own zebra",
        "Mine",
    ]
    _, conversation = (await call(service, keys.ada, "GET", "/v1/conversations")).json()["items"]
    assert (conversation["conversation_id"], conversation["messages"]) == ("c1", 1)
    assert (await call(service, keys.ada, "GET", "/v1/conversations/c1")).json() == conversation
    assert (await call(service, keys.ada, "DELETE", path)).status_code == 204
    assert (await call(service, keys.ada, "DELETE", "/v1/conversations/c1")).status_code == 404
    assert (await call(service, keys.ada, "DELETE", "/v1/conversations/bob's")).status_code == 204
    assert await contents(service, keys.bob, "/v1/messages") == ["Bob's zebra"]


async def test_neighbors_and_recent_turns_are_the_users_own(service: Service, keys: Two) -> None:
    for key, content in ((keys.ada, "Ada first"), (keys.bob, "Bob's zebra"), (keys.ada, "Ada last")):
        await store(service, key, content)
    await service.embed_all()

    answer = await call(service, keys.bob, "POST", "/v1/memory/search", json={"query": "zebra", "neighbors": 5})
    context = await call(service, keys.bob, "POST", "/v1/memory/context", json={"conversation_id": "c1"})

    assert [hit["neighbors"] for hit in answer.json()["items"]] == [[]]
    assert [item["content"] for item in context.json()["items"]] == ["Bob's zebra"]
    assert "Ada" not in context.text


async def test_searches_that_wait_together_are_told_apart(service: Service, keys: Two) -> None:
    for key in keys:
        await store(service, key, f"{SECRET} of {key.user_id}")
    await service.embed_all()

    for path in ("/v1/memory/search", "/v1/memory/context"):
        body = {"query": "zebra vault", "conversation_id": "c1"}
        found = await asyncio.gather(*(contents(service, key, path, **body) for key in keys * 10))
        assert found == [[f"{SECRET} of ada"], [f"{SECRET} of bob"]] * 10


async def test_the_same_idempotency_key_is_another_for_another_user(service: Service, keys: Two) -> None:
    tenants = await make(service, "acme")

    async def twice(key: CreatedKey) -> list[Json]:
        headers = {"Idempotency-Key": "k"}
        return [(await call(service, key, "POST", "/v1/messages", json=OWN, headers=headers)).json() for _ in range(2)]

    stored = [await twice(key) for key in (keys.ada, keys.bob, tenants)]

    assert [[each["user_id"] for each in pair] for pair in stored] == [["ada"] * 2, ["bob"] * 2, [None] * 2]
    assert [pair[0]["id"] == pair[1]["id"] for pair in stored] == [True] * 3
    assert len({pair[0]["id"] for pair in stored}) == 3


async def test_a_batch_without_any_object_is_judged_and_not_forbidden(service: Service, keys: Two) -> None:
    answer = await call(service, keys.ada, "POST", "/v1/messages/batch", json={"messages": ["nonsense"]})

    assert (answer.status_code, answer.json()["rejected"]) == (207, 1)


async def test_a_cursor_of_another_user_is_refused(service: Service, keys: Two) -> None:
    for number in range(2):
        await store(service, keys.ada, f"Message {number}", conversation_id=f"c{number}")

    for path in ("/v1/messages", "/v1/conversations"):
        cursor = (await call(service, keys.ada, "GET", f"{path}?limit=1")).json()["next_cursor"]
        assert cursor is not None
        answer = await call(service, keys.bob, "GET", path, params={"limit": 1, "cursor": cursor})
        assert answer.status_code == 422, path


@pytest.mark.parametrize(
    ("asks_for", "says"),
    [
        ({"user_id": "ada", "scopes": ["read"]}, "user_id needs a tenant_id"),
        ({"tenant_id": "acme", "user_id": "ada", "scopes": ["read", "admin"]}, "must not have the scope admin"),
        ({"tenant_id": "acme", "user_id": " ", "scopes": ["read"]}, "must not be blank"),
    ],
)
async def test_a_users_key_is_of_a_tenant_and_never_administers(asks_for: Json, says: str, service: Service) -> None:
    answer = await service.client.post("/v1/admin/keys", json={"name": "n", **asks_for}, headers=AS_ROOT)

    assert answer.status_code == 422
    assert says in answer.text


async def test_a_users_key_is_shown_with_its_user_and_rotated_with_it(service: Service) -> None:
    new = {"name": "ada's", "tenant_id": "acme", "user_id": "ada", "scopes": ["read"]}
    created = (await service.client.post("/v1/admin/keys", json=new, headers=AS_ROOT)).json()
    path = f"/v1/admin/keys/{created['id']}/rotate"
    rotated = (await service.client.post(path, json={}, headers=AS_ROOT)).json()
    listed = (await service.client.get("/v1/admin/keys", headers=AS_ROOT)).json()["items"]

    assert [each["user_id"] for each in (created, rotated, *listed)] == ["ada"] * 4
    found = await service.client.get("/v1/messages", params={"user_id": "bob"}, headers=sent(rotated["key"]))
    assert found.status_code == 403


async def test_who_may_see_a_tenant_may_name_its_users(service: Service, keys: Two) -> None:
    tenants = await make(service, "acme")
    await store(service, keys.ada, "Ada's zebra")
    await store(service, tenants, "Bob's zebra", user_id="bob")
    await store(service, tenants, "Nobody's zebra")
    await service.embed_all()

    for path in ("/v1/messages?", "/v1/memory/search?query=zebra&"):
        assert await contents(service, tenants, f"{path}user_id=bob") == ["Bob's zebra"]
        assert len(await contents(service, tenants, path)) == 3
    body = message(user_id="bob", tenant_id="globex")
    assert (await service.client.post("/v1/messages", json=body, headers=AS_ROOT)).status_code == 202
    assert await contents(service, keys.bob, "/v1/messages") == ["Bob's zebra"]


def test_the_release_before_has_no_key_that_opens_more_than_it_did(postgres: PostgresServer) -> None:
    url = postgres.create(template="template1")
    upgrade(url)
    fetch(
        url,
        "INSERT INTO api_keys (id, name, prefix, hash, tenant_id, user_id, scopes, created_at, changed_at) SELECT "
        "gen_random_uuid(), 'n', u, sha256(u::bytea), 'acme', nullif(u, 'all'), ARRAY['read'], now(), '2026-01-01Z' "
        "FROM unnest(ARRAY['ada', 'all']) AS u RETURNING 1",
    )

    command.downgrade(config_for(url), "0013")

    revoked = "SELECT revoked_at IS NOT NULL AND changed_at > now() - interval '1 hour' FROM api_keys ORDER BY prefix"
    assert fetch(url, revoked) == [True, False]
    postgres.drop(url)
