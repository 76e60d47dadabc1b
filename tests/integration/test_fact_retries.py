"""A fact that is stored again: by its `external_id`, under an `Idempotency-Key`, or by another attempt of a request."""

import asyncio
from typing import Any

import httpx
import pytest

from deployments.schemas.facts import NewFact
from deployments.storage.messages.fact_drafts import fact_draft
from tests.integration.calls import Json, error_of, message, store
from tests.integration.service import Service
from tests.integration.test_facts import fact, listed, patched, read, store_fact
from tests.integration.test_quotas import Limited, limited

__all__ = ["limited"]
LATER = "2100-01-01T00:00:00Z"


async def send(service: Service, body: Json, key: str | None = None) -> httpx.Response:
    """Store a fact, or the facts of a batch."""
    path = "/v1/facts/batch" if "facts" in body else "/v1/facts"
    return await service.client.post(path, json=body, headers={"Idempotency-Key": key} if key else {})


def items_of(answer: httpx.Response) -> list[Any]:
    """The id of each fact of a batch, or the code of its error."""
    return [item["fact"]["id"] if "fact" in item else item["error"]["code"] for item in answer.json()["items"]]


async def whole(service: Service, **fields: Any) -> Json:
    """A fact that says all that a fact can."""
    sources = [(await store(service, each))["id"] for each in ("one", "two")]
    said: Json = {
        "subject": "Ada",
        "source_ids": sources,
        "conversation_id": "c1",
        "user_id": "ada",
        "agent_id": "coder",
        "metadata": {"topic": {"name": "languages"}},
        "importance_override": 0.9,
        "language": "en",
        "valid_from": "2026-01-01T00:00:00+01:00",
        "valid_to": "2030-01-01T00:00:00Z",
        "expires_at": LATER,
        "external_id": "f-1",
    }
    return fact(**said | fields)


async def test_what_says_the_same_is_answered_as_it_is_there(service: Service) -> None:
    body = await whole(service)
    first = await send(service, body)
    newer = await store_fact(service, supersedes=first.json()["id"])
    body["source_ids"].reverse()

    again = await send(service, body)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["superseded_by"] == newer["id"]
    assert len(await listed(service)) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"content": "Ada prefers Rust"},
        {"subject": None},
        {"source_ids": []},
        {"conversation_id": None},
        {"user_id": "bob"},
        {"agent_id": None},
        {"metadata": {"topic": {"name": True}}},
        {"importance_override": None},
        {"language": None},
        {"valid_from": "2026-01-01T00:00:00Z"},
        {"valid_to": None},
        {"expires_at": "2101-01-01T00:00:00Z"},
        {"expires_at": None, "ttl_seconds": 60},
    ],
)
async def test_what_says_something_else_is_a_conflict(service: Service, other: Json) -> None:
    body = await whole(service)
    await send(service, body)

    answer = await send(service, body | other)

    assert (answer.status_code, error_of(answer)["code"]) == (409, "external_id_conflict")
    assert await listed(service) == [body["content"]]


async def test_what_follows_from_the_first_time_is_not_compared(service: Service) -> None:
    """Since when it holds, and when it expires."""
    body = fact(external_id="f-1", ttl_seconds=3_600, valid_to=LATER)
    first, again = [(await send(service, body)).json() for _ in range(2)]

    assert first == again


async def test_what_was_changed_since_is_a_conflict(service: Service) -> None:
    body = fact(external_id="f-1")
    stored = (await send(service, body)).json()
    await patched(service, stored["id"], metadata={"reviewed": True})

    assert (await send(service, body)).status_code == 409


async def test_what_superseded_others_is_answered_while_it_still_does(service: Service) -> None:
    old = await store_fact(service, "old")
    body = fact("new", external_id="f-1", supersedes=[old["id"]])
    first, again = [(await send(service, body)).json() for _ in range(2)]
    twice = await send(service, {"facts": [body, body]})
    superseded = await read(service, old["id"])
    await patched(service, old["id"], superseded_by=None)
    conflict = await send(service, body)

    assert first == again
    assert items_of(twice) == [first["id"]] * 2
    assert (superseded["superseded_by"], superseded["version"]) == (first["id"], 2)
    assert conflict.status_code == 409
    assert (await read(service, old["id"]))["superseded_by"] is None


async def test_an_external_id_names_one_memory(service: Service) -> None:
    said = await store(service, external_id="m-1")
    answer = await send(service, fact(said["content"], external_id="m-1", conversation_id=said["conversation_id"]))

    assert (answer.status_code, error_of(answer)["code"]) == (409, "external_id_conflict")
    assert await listed(service) == []


async def test_what_has_expired_holds_no_name(service: Service) -> None:
    await store_fact(service, "old", external_id="f-1", ttl_seconds=3_600)
    await store(service, external_id="m-1", ttl_seconds=3_600)
    async with service.database.connection() as connection:
        await connection.execute("UPDATE messages SET expires_at = now() - interval '1 s', updated_at = now()")

    answers = [await send(service, fact("new", external_id=name)) for name in ("f-1", "m-1")]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert await listed(service) == ["new", "new"]


async def test_callers_who_store_one_fact_at_once_store_one(service: Service) -> None:
    names = [f"f-{number}" for number in range(5)]
    facts = [fact(name, external_id=name) for name in names]

    singles = [send(service, each) for each in facts for _ in range(4)]
    batches = [send(service, {"facts": order}) for order in (facts, facts[::-1]) for _ in range(3)]
    answers = await asyncio.gather(*singles, *batches)

    assert {answer.status_code for answer in answers} == {202}
    assert sorted(await listed(service)) == names


async def test_a_batch_that_is_sent_again_says_the_same_of_each(service: Service) -> None:
    facts = [fact("one", external_id="f-1"), fact("two", external_id="f-2"), fact("other", external_id="f-1")]

    first, again = [await send(service, {"facts": facts}) for _ in range(2)]

    assert (first.status_code, again.status_code) == (207, 207)
    assert items_of(first) == items_of(again)
    assert [isinstance(each, str) and "-" in each for each in items_of(first)] == [True, True, False]
    assert await listed(service) == ["two", "one"]


async def test_a_retry_is_answered_whatever_would_be_refused_by_now(limited: Limited) -> None:
    """Beyond the quota, and behind its own end; what is new behind it takes the room that is left."""
    service = await limited(messages=3)
    over = fact("over", external_id="f-1", valid_from="2020-01-01T00:00:00Z", valid_to="2021-01-01T00:00:00Z")
    facts = [over, fact("other", external_id="f-2")]
    first = await send(service, {"facts": facts})
    new = fact("new")
    again = await send(service, {"facts": [*facts, new, new]})

    assert items_of(again)[:2] == items_of(first)
    assert [item["status"] for item in again.json()["items"]] == [202, 202, 202, 413]
    assert [answer.status_code for answer in [await send(service, each) for each in (over, new)]] == [202, 413]


async def test_a_fact_of_a_moment_is_answered_again_after_it(service: Service) -> None:
    """Without `valid_from` it would end before it begins by now."""
    body = fact(external_id="f-1", valid_to=LATER)
    stored = (await send(service, body)).json()
    async with service.database.connection() as connection:
        await connection.execute(
            "UPDATE messages SET valid_from = valid_from - interval '2 days', valid_to = now() - interval '1 day'"
        )
        ended = await connection.fetchval("SELECT valid_to FROM messages")

    again = await send(service, body | {"valid_to": ended.isoformat()})

    assert (again.status_code, again.json()["id"]) == (202, stored["id"])


async def test_another_attempt_of_one_request_stores_nothing(service: Service) -> None:
    repository = service.app.state.services.facts
    draft = fact_draft(NewFact(tenant_id="acme", content="once"), None)

    (first,), (again,) = await repository.store([draft]), await repository.store([draft])

    assert first == again
    assert await listed(service) == ["once"]


async def test_a_key_answers_with_the_same_facts(service: Service) -> None:
    old = await store_fact(service, "old")
    alone = fact("alone", supersedes=old["id"])
    batch = {"facts": [fact("one"), fact(" "), fact("two", tenant_id="other"), fact("one")]}

    single = [(await send(service, alone, "k")).json() for _ in range(2)]
    first, again = [await send(service, batch, "other") for _ in range(2)]
    await patched(service, single[0]["id"], content="alone and changed")
    changed = await send(service, alone, "k")

    assert single[0] == single[1]
    assert (changed.status_code, changed.json()["content"]) == (202, "alone and changed")
    assert (first.status_code, again.status_code) == (207, 207)
    assert items_of(first) == items_of(again)
    assert sorted(await listed(service)) == ["alone and changed", "old", "one", "one"]
    assert await listed(service, tenant_id="other") == ["two"]
    assert (await read(service, old["id"]))["version"] == 2


async def test_another_body_under_the_same_key_is_a_conflict(service: Service) -> None:
    await send(service, fact("one"), "k")
    said = message("two")
    answers = [
        await send(service, fact("two"), "k"),
        await send(service, {"facts": [fact("one")]}, "k"),
        await service.client.post("/v1/messages", json=said, headers={"Idempotency-Key": "k"}),
    ]

    assert [(answer.status_code, error_of(answer)["code"]) for answer in answers] == [(409, "idempotency_conflict")] * 3
    assert await listed(service) == ["one"]
    assert (await send(service, fact("three", tenant_id="other"), "k")).status_code == 202


async def test_what_is_refused_uses_no_key_up(service: Service) -> None:
    bad = fact("bad", source_ids=["0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10"])
    statuses = [
        (await send(service, body, "k")).status_code
        for body in (bad, {"facts": [bad]}, {"facts": [fact(" ")]}, fact("good"), fact("good"))
    ]

    assert statuses == [422, 207, 207, 202, 202]
    assert await listed(service) == ["good"]


async def test_what_was_refused_is_tried_again_and_what_was_deleted_is_not_stored_again(service: Service) -> None:
    batch = {"facts": [fact("gone"), fact("kept"), fact("refused", external_id="m-1")]}
    said = await store(service, external_id="m-1")
    first = await send(service, batch, "k")
    await service.client.delete(f"/v1/facts/{items_of(first)[0]}")
    await service.client.delete(f"/v1/messages/{said['id']}")

    second = await send(service, batch, "k")
    third = await send(service, batch, "k")

    assert items_of(first)[2] == "external_id_conflict"
    assert [item["status"] for item in second.json()["items"]] == [409, 202, 202]
    assert items_of(second)[:2] == ["idempotency_conflict", items_of(first)[1]]
    assert items_of(third) == items_of(second)
    assert sorted(await listed(service)) == ["kept", "refused"]


async def test_callers_with_one_key_at_once_store_one(service: Service) -> None:
    bodies: list[Json] = [fact("alone"), {"facts": [fact("one"), fact("two")]}]
    for key, body in enumerate(bodies):
        answers = await asyncio.gather(*(send(service, body, str(key)) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {202}

    assert sorted(await listed(service)) == ["alone", "one", "two"]
