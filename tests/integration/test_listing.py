"""A tenant's messages by time, filtered, page by page."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from serve_app.routes.cursors import encode_cursor
from tests.integration.calls import error_of, message, store, store_many
from tests.integration.recount import execute
from tests.integration.service import Service


def day(n: int) -> str:
    return f"2024-03-{n:02d}T12:00:00Z"


async def pages(service: Service, path: str = "/v1/messages", **parameters: Any) -> AsyncIterator[list[dict[str, Any]]]:
    cursor = None
    while True:
        asked = {"tenant_id": "acme", **parameters, **({"cursor": cursor} if cursor else {})}
        answer = await service.client.get(path, params=asked)
        assert answer.status_code == 200, answer.text
        yield answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return


async def test_the_newest_comes_first(service: Service) -> None:
    await store_many(service, [message(f"day {n}", created_at=day(n)) for n in (2, 3, 1)])

    (page,) = [page async for page in pages(service)]

    assert [item["content"] for item in page] == ["day 3", "day 2", "day 1"]


async def test_a_tenant_without_messages_has_an_empty_page(service: Service) -> None:
    assert [page async for page in pages(service, tenant_id="nobody")] == [[]]


async def test_the_pages_hold_every_message_once(service: Service) -> None:
    stored = await store_many(service, [message(f"m{n}", created_at=day(n % 3 + 1)) for n in range(10)])

    found = [page async for page in pages(service, limit=3)]

    assert [len(page) for page in found] == [3, 3, 3, 1]
    listed = [item for page in found for item in page]
    assert sorted(item["id"] for item in listed) == sorted(item["id"] for item in stored)
    assert [(i["created_at"], i["id"]) for i in listed] == sorted((i["created_at"], i["id"]) for i in listed)[::-1]


async def test_a_full_last_page_has_no_cursor(service: Service) -> None:
    await store_many(service, [message(f"m{n}") for n in range(4)])

    assert [len(page) async for page in pages(service, limit=2)] == [2, 2]


async def test_a_message_that_arrives_between_two_pages_moves_nothing(service: Service) -> None:
    await store_many(service, [message(f"day {n}", created_at=day(n)) for n in (1, 2, 3)])

    seen = []
    async for page in pages(service, limit=1):
        seen += [item["content"] for item in page]
        await store(service, "later")

    assert seen == ["day 3", "day 2", "day 1"]


async def test_a_conversation_is_listed_apart(service: Service) -> None:
    await store_many(service, [message("a"), message("b", conversation_id="c2"), message("c", conversation_id="c2")])

    found = [page async for page in pages(service, conversation_id="c2", limit=1)]

    assert [item["content"] for page in found for item in page] == ["c", "b"]


async def test_another_tenants_messages_are_not_listed(service: Service) -> None:
    await store(service, "ours")
    await store(service, "theirs", tenant_id="globex")

    assert [[item["content"] for item in page] async for page in pages(service)] == [["ours"]]


async def cursor_of(service: Service, **parameters: str) -> str:
    answer = await service.client.get("/v1/messages", params={"tenant_id": "acme", "limit": 1, **parameters})
    cursor: str = answer.json()["next_cursor"]
    return cursor


async def assert_refused(service: Service, cursor: str, path: str = "/v1/messages", **parameters: str) -> None:
    answer = await service.client.get(path, params={"tenant_id": "acme", "cursor": cursor, **parameters})
    assert answer.status_code == 422, answer.text
    assert error_of(answer)["code"] in {"invalid_request", "validation_error"}


@pytest.mark.parametrize("cursor", ["", "x", "nonsense!", "AAAA", "ä", "%00", "A" * 1024, "A" * 1025, "\x00", "===="])
async def test_what_is_no_cursor_is_refused(service: Service, cursor: str) -> None:
    await assert_refused(service, cursor)
    await assert_refused(service, cursor, "/v1/conversations")


async def test_a_cursor_with_any_bit_changed_is_refused(service: Service) -> None:
    await store_many(service, [message("a"), message("b")])
    cursor = await cursor_of(service)
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))

    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        await assert_refused(service, base64.urlsafe_b64encode(changed).decode())


async def test_a_cursor_of_another_listing_is_refused(service: Service) -> None:
    await store_many(service, [message("a"), message("b")])
    cursor = await cursor_of(service)

    await assert_refused(service, cursor, tenant_id="globex")
    await assert_refused(service, cursor, conversation_id="c1")
    await assert_refused(service, cursor, "/v1/conversations")


@pytest.mark.parametrize("key", ["not-a-uuid", "", "a|b"])
async def test_a_forged_cursor_is_no_server_error(service: Service, key: str) -> None:
    forged = encode_cursor(datetime(2024, 1, 1, tzinfo=UTC), key, "messages\0acme\0")

    await assert_refused(service, forged)


@pytest.mark.parametrize("limit", ["0", "-1", "201", "many", "1.5"])
async def test_a_page_of_no_or_too_many_messages_is_refused(service: Service, limit: str) -> None:
    for path in ("/v1/messages", "/v1/conversations"):
        answer = await service.client.get(path, params={"tenant_id": "acme", "limit": limit})
        assert answer.status_code == 422
        assert error_of(answer)["details"][0]["location"] == ["query", "limit"]


async def fill(service: Service) -> None:
    """Four messages that differ in all that a listing filters by."""
    await store_many(
        service,
        [
            message("A", created_at=day(1), conversation_id="team/a", metadata={"k": 1}, importance_override=0.2),
            message("B", created_at=day(2), conversation_id="team/a/x", role="assistant", importance_override=0.9),
            message("C", created_at=day(3), conversation_id="team/ab", name="Ada"),
            message("D", created_at=day(4), conversation_id="team", importance_override=0.5),
        ],
    )
    await execute(service, "UPDATE messages SET user_id = 'ada', external_id = 'crm-1' WHERE content = 'A'")
    await execute(service, "UPDATE messages SET user_id = 'ada', agent_id = 'helper' WHERE content = 'B'")
    await execute(service, "UPDATE messages SET archived = true WHERE content = 'D'")


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "DCBA"),
    ({"order": "desc"}, "DCBA"),
    ({"order": "asc"}, "ABCD"),
    ({"role": "assistant"}, "B"),
    ({"name": "Ada"}, "C"),
    ({"user_id": "ada"}, "BA"),
    ({"user_id": "nobody"}, ""),
    ({"agent_id": "helper"}, "B"),
    ({"external_id": "crm-1"}, "A"),
    ({"created_after": day(3)}, "DC"),
    ({"created_before": day(2)}, "A"),
    # What is not scored yet passes.
    ({"min_importance": 0.5}, "DCB"),
    ({"include_archived": "true"}, "DCBA"),
    ({"include_archived": "false"}, "CBA"),
    ({"metadata": '{"k": 1}'}, "A"),
    ({"where": '{"k": {"exists": false}, "role": "user"}'}, "DC"),
    ({"conversation_prefix": "team/a"}, "BA"),
    ({"conversation_prefix": "team/a/"}, "BA"),
    ({"conversation_prefix": "team/a%"}, ""),
    ({"conversation_prefix": "team", "conversation_id": "team/ab"}, "C"),
    ({"user_id": "ada", "order": "asc", "created_after": day(1)}, "AB"),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
async def test_a_listing_takes_the_filters_of_a_search(
    service: Service, filters: dict[str, Any], expected: str
) -> None:
    await fill(service)

    listed = [item["content"] for page in [page async for page in pages(service, limit=1, **filters)] for item in page]

    assert "".join(listed) == expected


@pytest.mark.parametrize(
    "parameters",
    [
        {"conversationId": "none"},
        {"offset": "1"},
        {"order": "up"},
        {"role": "robot"},
        {"created_after": "yesterday"},
        {"min_importance": "2"},
        {"metadata": "{"},
        {"metadata": "[]"},
        {"where": '{"a": NaN}'},
        {"conversation_prefix": ""},
    ],
)
async def test_a_filter_that_is_not_understood_is_refused(service: Service, parameters: dict[str, str]) -> None:
    answer = await service.client.get("/v1/messages", params={"tenant_id": "acme", **parameters})

    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["location"][:2] == ["query", *parameters]


@pytest.mark.parametrize("other", [{"order": "asc"}, {"role": "user"}, {"where": '{"a": 1}'}])
async def test_a_cursor_belongs_to_its_filters_and_order(service: Service, other: dict[str, str]) -> None:
    await fill(service)
    asked: dict[str, Any] = {"tenant_id": "acme", "limit": 1}
    cursor = (await service.client.get("/v1/messages", params=asked)).json()["next_cursor"]

    answer = await service.client.get("/v1/messages", params={**asked, **other, "cursor": cursor})

    assert answer.status_code == 422


async def test_a_cursor_of_an_earlier_release_goes_on(service: Service) -> None:
    await fill(service)
    cursor = encode_cursor(datetime(2024, 3, 3, 12, tzinfo=UTC), str(UUID(int=0)), "messages\0acme\0")

    answer = await service.client.get("/v1/messages", params={"tenant_id": "acme", "cursor": cursor})

    assert [item["content"] for item in answer.json()["items"]] == ["B", "A"]
