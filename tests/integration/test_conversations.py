"""Conversations: what a tenant's messages add up to."""

from typing import Any
from urllib.parse import quote

import pytest

from deployments.storage.messages import conversations
from tests.integration.calls import Json, error_of, found, message, store, store_many
from tests.integration.service import Service


async def listed(service: Service, **parameters: object) -> Json:
    answer = await service.client.get("/v1/conversations", params={"tenant_id": "acme", **parameters})  # type: ignore[dict-item]
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


async def fill(service: Service) -> None:
    days = {"c1": (1, 4), "c2": (2,), "c3": (3, 2, 1)}
    await store_many(
        service,
        [
            message(f"{conversation} {day}", conversation_id=conversation, created_at=f"2024-03-0{day}T00:00:00Z")
            for conversation, when in days.items()
            for day in when
        ],
    )


async def test_the_most_recently_used_conversation_comes_first_with_its_counts_and_times(service: Service) -> None:
    await fill(service)

    assert (await listed(service))["items"] == [
        {
            "conversation_id": "c1",
            "messages": 2,
            "first_message_at": "2024-03-01T00:00:00Z",
            "last_message_at": "2024-03-04T00:00:00Z",
        },
        {
            "conversation_id": "c3",
            "messages": 3,
            "first_message_at": "2024-03-01T00:00:00Z",
            "last_message_at": "2024-03-03T00:00:00Z",
        },
        {
            "conversation_id": "c2",
            "messages": 1,
            "first_message_at": "2024-03-02T00:00:00Z",
            "last_message_at": "2024-03-02T00:00:00Z",
        },
    ]


async def test_the_pages_hold_every_conversation_once(service: Service) -> None:
    when = "2024-03-01T00:00:00Z"
    await store_many(service, [message(conversation_id=f"c{n}", created_at=when) for n in range(5)])

    seen, cursor = [], None
    while True:
        page = await listed(service, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [item["conversation_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == ["c4", "c3", "c2", "c1", "c0"]


async def test_a_cursor_of_another_tenant_is_refused(service: Service) -> None:
    await fill(service)
    cursor = (await listed(service, limit=1))["next_cursor"]

    answer = await service.client.get("/v1/conversations", params={"tenant_id": "globex", "cursor": cursor})

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "invalid_request"


async def test_a_conversation_counts_with_the_messages_of_a_user_or_an_agent(service: Service) -> None:
    await store_many(
        service,
        [
            message("1", user_id="ada", agent_id="scout", created_at="2024-03-01T00:00:00Z"),
            message("2", user_id="bob", created_at="2024-03-02T00:00:00Z"),
            message("3", conversation_id="c2", user_id="bob", agent_id="scout", created_at="2024-03-03T00:00:00Z"),
            message("4", conversation_id="c2", created_at="2024-03-04T00:00:00Z"),
        ],
    )

    async def counted(**of: str) -> list[tuple[str, int, str]]:
        page = await listed(service, **of)
        return [(each["conversation_id"], each["messages"], each["last_message_at"][:10]) for each in page["items"]]

    assert await counted() == [("c2", 2, "2024-03-04"), ("c1", 2, "2024-03-02")]
    assert await counted(user_id="bob") == [("c2", 1, "2024-03-03"), ("c1", 1, "2024-03-02")]
    assert await counted(user_id="ada") == [("c1", 1, "2024-03-01")]
    assert await counted(agent_id="scout") == [("c2", 1, "2024-03-03"), ("c1", 1, "2024-03-01")]
    assert await counted(user_id="bob", agent_id="scout") == [("c2", 1, "2024-03-03")]
    assert await counted(user_id="eve") == []


@pytest.mark.parametrize("field", ["user_id", "agent_id"])
async def test_whose_conversations_are_listed_is_checked(field: str, service: Service) -> None:
    for value in (" ", "x" * 256):
        answer = await service.client.get("/v1/conversations", params={"tenant_id": "acme", field: value})
        assert answer.status_code == 422, value


async def test_one_conversation_is_read_by_its_id(service: Service) -> None:
    await fill(service)

    answer = await service.client.get("/v1/conversations/c3", params={"tenant_id": "acme"})

    assert answer.status_code == 200
    assert answer.json() == (await listed(service))["items"][1]


@pytest.mark.parametrize("conversation_id", ["a b", "ä世🌍", "a?b#c", "100%", "a/b"])
async def test_a_conversation_is_read_and_deleted_whatever_its_id(service: Service, conversation_id: str) -> None:
    await store(service, conversation_id=conversation_id)
    path = f"/v1/conversations/{quote(conversation_id, safe='')}"

    read = await service.client.get(path, params={"tenant_id": "acme"})
    deleted = await service.client.delete(path, params={"tenant_id": "acme"})

    assert (read.status_code, deleted.status_code) == (200, 204)
    assert read.json()["conversation_id"] == conversation_id


async def test_a_deleted_conversation_takes_its_messages_with_it(service: Service) -> None:
    await fill(service)
    await service.embed_all()
    await store(service, "c3 pending", conversation_id="c3")

    answer = await service.client.delete("/v1/conversations/c3", params={"tenant_id": "acme"})

    assert (answer.status_code, answer.content) == (204, b"")
    assert sorted(await found(service, "c1 c2 c3")) == ["c1 1", "c1 4", "c2 2"]
    assert [item["conversation_id"] for item in (await listed(service))["items"]] == ["c1", "c2"]
    assert (await service.jobs.counts()).pending == 0


async def test_another_tenants_conversation_of_the_same_id_is_left_alone(service: Service) -> None:
    await store(service, "ours")
    await store(service, "apples", tenant_id="globex")

    await service.client.delete("/v1/conversations/c1", params={"tenant_id": "acme"})

    assert await found(service, "apples", tenant_id="globex") == ["apples"]


@pytest.mark.parametrize("tenant_id", ["acme", "globex"])
async def test_a_conversation_that_the_tenant_has_not_is_not_found(service: Service, tenant_id: str) -> None:
    await store(service, conversation_id="c1", tenant_id="globex")
    conversation = "c2" if tenant_id == "globex" else "c1"

    for method in ("GET", "DELETE"):
        path = f"/v1/conversations/{conversation}"
        answer = await service.client.request(method, path, params={"tenant_id": tenant_id})
        assert answer.status_code == 404
        assert error_of(answer)["code"] == "not_found"


async def test_the_conversations_of_a_namespace_are_listed_apart(service: Service) -> None:
    for name in ("a/b", "a/b/c", "a/bc", "a", "x/a/b", "/a/b"):
        await store(service, conversation_id=name)

    async def listed(prefix: str) -> set[str]:
        asked = {"tenant_id": "acme", "conversation_prefix": prefix}
        answer = await service.client.get("/v1/conversations", params=asked)
        assert answer.status_code == 200
        return {each["conversation_id"] for each in answer.json()["items"]}

    assert await listed("a/b") == await listed("a/b/") == {"a/b", "a/b/c"}
    assert await listed("a") == {"a", "a/b", "a/b/c", "a/bc"}
    assert await listed("/") == {"/a/b"}
    assert await listed("%") == set()


async def test_a_cursor_of_another_namespace_is_refused(service: Service) -> None:
    for name in ("a/1", "a/2"):
        await store(service, conversation_id=name)
    asked: dict[str, Any] = {"tenant_id": "acme", "limit": 1, "conversation_prefix": "a"}
    cursor = (await service.client.get("/v1/conversations", params=asked)).json()["next_cursor"]

    answer = await service.client.get(
        "/v1/conversations", params={**asked, "cursor": cursor, "conversation_prefix": "b"}
    )

    assert answer.status_code == 422


ANY_MESSAGES = """
    INSERT INTO messages (id, tenant_id, conversation_id, role, content, terms, user_id, agent_id, created_at,
                          updated_at)
    SELECT gen_random_uuid(), (ARRAY['acme', 'globex'])[1 + n % 2], 'c' || floor(random() ^ 3 * 30), 'user', 'said', '',
           (ARRAY['ada', 'bob', 'eve'])[1 + n % 3], (ARRAY['scout', 'guide'])[1 + n / 2 % 2],
           timestamptz '2024-03-01Z' + make_interval(mins => floor(random() * 60)::int), now()
    FROM generate_series(1, 300) AS n
"""
COUNTED = """
    SELECT conversation_id, count(*) AS messages, min(created_at) AS first_message_at,
           max(created_at) AS last_message_at
    FROM messages
    WHERE tenant_id = 'acme' AND user_id = coalesce($1, user_id) AND agent_id = coalesce($2, agent_id)
    GROUP BY conversation_id ORDER BY last_message_at DESC, conversation_id DESC
"""


@pytest.mark.parametrize("walked", [1, 7, 40, 1_000])
async def test_however_many_messages_are_walked_the_pages_are_the_same(
    service: Service, walked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some conversations hold most messages, and many messages have the same time."""
    monkeypatch.setattr(conversations, "WALKED", walked)
    monkeypatch.setattr(conversations, "WALKED_FOR_EACH", 0)
    repository = conversations.ConversationRepository(service.database)
    async with service.database.connection() as connection:
        await connection.execute("SELECT setseed(0.5)")
        await connection.execute(ANY_MESSAGES)

    for user_id, agent_id in ((None, None), ("ada", None), ("bob", "scout"), (None, "nobody")):
        async with service.database.connection() as connection:
            wanted = [dict(row) for row in await connection.fetch(COUNTED, user_id, agent_id)]
        pages, after = [], None
        while page := await repository.page("acme", 4, after, user_id=user_id, agent_id=agent_id):
            pages += [each.model_dump() for each in page]
            after = (page[-1].last_message_at, page[-1].conversation_id)
        assert pages == wanted
        assert (len(wanted) > 10) == (agent_id != "nobody")
