"""Names of the caller's own: what is stored under one again answers as the first time, and stores nothing twice."""

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.integration.calls import Json, error_of, found, get, message, store, store_many
from tests.integration.service import Service

ANOTHER: list[Json] = [
    *({"content": "pear"}, {"role": "assistant"}, {"conversation_id": "c2"}, {"name": "Ada"}, {"language": "de"}),
    *({"metadata": {"n": True}}, {"metadata": {}}, {"importance_override": 0.5}, {"user_id": "ada"}),
    *({"agent_id": "bot"}, {"created_at": "2026-01-01T00:00:00Z"}, {"ttl_seconds": 60}),
    {"expires_at": "2126-01-01T00:00:00Z"},
]
METADATA: Json = {"n": 1, "large": 1e16, "float": 1.5, "list": [None, "é"], "zero": -0.0}


async def post(service: Service, path: str = "", **body: Any) -> httpx.Response:
    return await service.client.post(f"/v1/messages{path}", json=body)


async def batch(service: Service, *messages: Json) -> tuple[list[int], list[Json]]:
    """The statuses and the items of a batch."""
    items = (await post(service, "/batch", messages=messages)).json()["items"]
    return [item["status"] for item in items], items


async def stored_as(service: Service, **parameters: str) -> list[str]:
    answer = await service.client.get("/v1/messages", params={"tenant_id": "acme", **parameters})
    return sorted(each["content"] for each in answer.json()["items"])


def lengthy(characters: int) -> str:
    """A text that cannot be compressed, of four bytes a character."""
    return "".join(chr(0x1F300 + random.Random(n).randrange(1_000)) for n in range(characters))


NAMED: list[Json] = [
    {"external_id": "fruit/1"},
    {"id": "0199d2a4-7a52-4c3e-9b1f-2f9f3f6f8a10"},
    {"external_id": "fruit/2", "id": "0199d2a4-7a52-4c3e-9b1f-2f9f3f6f8a11"},
    {"external_id": "x", "ttl_seconds": 60, "importance_override": 0.3},
    {"external_id": "y", "created_at": "2026-01-01T00:00:00.123456+05:30", "metadata": METADATA},
    {"external_id": lengthy(512), "expires_at": "2126-01-01T00:00:00.123456Z", "name": "Ada", "language": "en"},
]


async def test_the_same_again_answers_as_the_first_time(service: Service) -> None:
    for fields in NAMED:
        first = await store(service, "apple", **fields)
        await service.embed_all()

        again = await store(service, "apple", **fields)
        statuses, items = await batch(service, message("apple", **fields), message("pear"))

        assert first["id"] == again["id"] == items[0]["message"]["id"]
        assert again == await get(service, first["id"])
        assert statuses == [202, 202]
    assert await stored_as(service) == ["apple"] * len(NAMED) + ["pear"] * len(NAMED)


@pytest.mark.parametrize(("name", "code"), [("external_id", "external_id_conflict"), ("id", "id_taken")])
async def test_another_message_under_a_name_is_a_conflict(service: Service, name: str, code: str) -> None:
    named = {name: str(uuid4()), "metadata": {"n": 1}}
    stored = await store(service, "apple", **named)

    for fields in ANOTHER:
        answer = await post(service, **message("apple", **named) | fields)

        assert (answer.status_code, error_of(answer)["code"]) == (409, code), fields
    assert await get(service, stored["id"]) == stored


async def test_two_names_of_two_messages_are_a_conflict(service: Service) -> None:
    one, other = str(uuid4()), str(uuid4())
    await store(service, "apple", id=one, external_id="a")
    await store(service, "apple", external_id="b")

    answers = [
        await post(service, **message("apple", **names))
        for names in ({"id": one}, {"id": one, "external_id": "c"}, {"id": other, "external_id": "a"})
    ]
    answers.append(await post(service, **message("apple", id=one, external_id="b")))

    codes = ["id_taken", "id_taken", "external_id_conflict", "external_id_conflict"]
    assert [(answer.status_code, error_of(answer)["code"]) for answer in answers] == [(409, code) for code in codes]


async def test_a_batch_that_is_sent_again_stores_nothing_twice(service: Service) -> None:
    messages = [message(f"apple {n}", external_id=f"n{n}") for n in range(50)]

    first, second = [await store_many(service, messages) for _ in range(2)]
    longer = await store_many(service, [*messages, message("pear", external_id="n50")])

    assert first == second == longer[:50]
    assert len(await stored_as(service, limit="200")) == 51
    assert (await service.jobs.counts()).pending == 51


async def test_one_name_twice_in_a_batch_is_one_message(service: Service) -> None:
    own = str(uuid4())
    statuses, items = await batch(
        service,
        message("apple", external_id="a"),
        message("apple", external_id="a"),
        message("pear", external_id="a"),
        message("apple", tenant_id="globex", external_id="a"),
        message("plum", id=own),
        message("plum", id=own),
        message("fig", id=own),
    )

    assert statuses == [202, 202, 409, 202, 202, 202, 409]
    assert items[0] == items[1]
    assert items[4] == items[5]
    assert [items[n]["error"]["code"] for n in (2, 6)] == ["external_id_conflict", "id_taken"]
    assert await stored_as(service) == ["apple", "plum"]


async def test_those_who_store_the_same_at_once_get_one_message(service: Service) -> None:
    messages = [message(f"apple {n}", external_id=f"n{n}") for n in range(20)]
    backwards = messages[::-1]

    singles, batches = await asyncio.gather(
        asyncio.gather(*(store(service, "pear", external_id="pear") for _ in range(20))),
        asyncio.gather(*(store_many(service, backwards if n % 2 else messages) for n in range(10))),
    )

    assert len({each["id"] for each in singles}) == 1
    assert len({frozenset(each["id"] for each in answer) for answer in batches}) == 1
    assert len(await stored_as(service)) == 21


async def test_an_id_of_another_tenants_message_is_refused_alone_and_tells_nothing(service: Service) -> None:
    theirs = await store(service, "their secret", tenant_id="globex", external_id="a")

    statuses, items = await batch(
        service, message("apple"), message("their secret", id=theirs["id"], external_id="a"), message("pear")
    )
    answer = await post(service, **message("their secret", id=theirs["id"]))

    assert statuses == [202, 409, 202]
    assert items[1]["error"].keys() == {"code", "message", "request_id", "details"}
    assert "secret" not in str(items[1]) + answer.text
    assert (answer.status_code, error_of(answer)["code"]) == (409, "id_taken")
    assert await get(service, theirs["id"]) == theirs
    assert await stored_as(service) == ["apple", "pear"]


async def test_a_name_is_free_again_once_its_message_is_deleted_or_has_expired(service: Service) -> None:
    deleted = await store(service, "apple", external_id="a")
    await service.client.delete(f"/v1/messages/{deleted['id']}")
    expired = await store(service, "pear", external_id="a")
    async with service.database.connection() as connection:
        await connection.execute("UPDATE messages SET expires_at = now()")

    last = await store(service, "plum", external_id="a")

    assert len({deleted["id"], expired["id"], last["id"]}) == 3
    assert await found(service, "plum") == ["plum"]
    async with service.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM messages") == 1


async def test_an_id_that_is_no_uuid_is_refused(service: Service) -> None:
    for own in ("not-a-uuid", 7, True, ""):
        answer = await post(service, **message("apple", id=own))
        statuses, _ = await batch(service, message("apple", id=own), message("pear"))

        assert (answer.status_code, statuses) == (422, [422, 202])


async def test_ones_own_id_is_kept(service: Service) -> None:
    own = uuid4()

    assert UUID((await store(service, "apple", id=str(own)))["id"]) == own
    assert (await store(service, "pear", id=None))["id"]


@pytest.mark.parametrize("key", [None, "k"])
async def test_names_that_no_index_holds_fail_alone(service: Service, key: str | None) -> None:
    odd = message("fig", tenant_id=lengthy(255), external_id=lengthy(512))
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"messages": [message("apple"), odd, message("pear")]}

    answers = [await service.client.post("/v1/messages/batch", json=body, headers=headers) for _ in range(2)]

    assert [[item["status"] for item in answer.json()["items"]] for answer in answers] == [[202, 422, 202]] * 2
    assert await stored_as(service) == sorted(["apple", "pear"] * (2 if key is None else 1))
