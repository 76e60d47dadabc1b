"""A retry with the same `Idempotency-Key` returns the first answer and stores nothing."""

import asyncio
from typing import Any

import httpx

from tests.integration.calls import Json, error_of, found, message
from tests.integration.service import Service


async def send(service: Service, key: str, body: dict[str, Any]) -> httpx.Response:
    return await service.client.post("/v1/messages", json=body, headers={"Idempotency-Key": key})


async def test_a_retry_returns_the_first_answer(service: Service) -> None:
    body = message("apple", metadata={"z": 1, "a": [1.5, None]}, importance_override=0.5, name="Ada")

    first, second = await send(service, "k", body), await send(service, "k", body)

    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    assert await found(service, "apple") == ["apple"]


async def test_a_retry_returns_the_first_answer_after_the_message_moved_on(service: Service) -> None:
    first = await send(service, "k", message("apple"))
    await service.embed_all()

    assert (await send(service, "k", message("apple"))).json() == first.json()


async def test_another_body_under_the_same_key_is_a_conflict(service: Service) -> None:
    await send(service, "k", message("apple"))

    answer = await send(service, "k", message("banana"))

    assert answer.status_code == 409
    assert error_of(answer)["code"] == "idempotency_conflict"
    assert await found(service, "banana") == []


async def test_two_keys_store_two_messages(service: Service) -> None:
    first, second = await send(service, "k1", message("apple")), await send(service, "k2", message("apple"))

    assert first.json()["id"] != second.json()["id"]
    assert await found(service, "apple") == ["apple", "apple"]


async def test_the_keys_of_two_tenants_are_apart(service: Service) -> None:
    ours = await send(service, "k", message("apple"))
    theirs = await send(service, "k", message("banana", tenant_id="globex"))

    assert theirs.status_code == 202
    assert theirs.json()["id"] != ours.json()["id"]
    assert await found(service, "banana", tenant_id="globex") == ["banana"]


async def test_concurrent_requests_with_one_key_store_one_message(service: Service) -> None:
    answers = await asyncio.gather(*(send(service, "k", message("apple")) for _ in range(12)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await found(service, "apple") == ["apple"]
    assert (await service.jobs.counts()).pending == 1


async def test_of_concurrent_requests_with_one_key_and_other_bodies_one_wins(service: Service) -> None:
    answers = await asyncio.gather(*(send(service, "k", message(f"apple {n}")) for n in range(8)))

    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7
    assert len(await found(service, "apple")) == 1


async def test_a_key_is_free_again_after_a_day(service: Service) -> None:
    first = await send(service, "k", message("apple"))
    async with service.database.connection() as connection:
        await connection.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")

    second = await send(service, "k", message("banana"))

    assert second.status_code == 202
    assert second.json()["id"] != first.json()["id"]
    assert (await send(service, "k", message("banana"))).json() == second.json()


async def test_a_message_that_is_refused_uses_no_key_up(service: Service) -> None:
    refused = await send(service, "k", message(" "))
    stored = await send(service, "k", message("apple"))

    assert (refused.status_code, stored.status_code) == (422, 202)


async def test_a_key_of_no_or_too_many_characters_is_refused(service: Service) -> None:
    for key in ("", "x" * 256):
        answer = await send(service, key, message())
        assert answer.status_code == 422
        assert error_of(answer)["details"][0]["location"] == ["header", "Idempotency-Key"]


async def send_batch(service: Service, key: str, messages: list[Json]) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return await service.client.post("/v1/messages/batch", json={"messages": messages}, headers=headers)


def ids_of(answer: httpx.Response) -> list[str]:
    return [item["message"]["id"] for item in answer.json()["items"]]


async def answers_kept(service: Service) -> list[str]:
    async with service.database.connection() as connection:
        return [
            row[0] for row in await connection.fetch("SELECT answer::text FROM idempotency_keys ORDER BY tenant_id")
        ]


async def test_a_batch_that_is_sent_again_answers_with_the_same_messages(service: Service) -> None:
    messages = [message("apple"), message("pear", tenant_id="globex"), message("apple")]

    first, second = [await send_batch(service, "k", messages) for _ in range(2)]
    await service.embed_all()
    third = await send_batch(service, "k", messages)

    assert [answer.status_code for answer in (first, second, third)] == [202] * 3
    assert first.json() == second.json()
    assert ids_of(first) == ids_of(third)
    assert await found(service, "apple") == ["apple", "apple"]
    assert await found(service, "pear", tenant_id="globex") == ["pear"]


async def test_a_batch_of_a_thousand_is_answered_again_and_its_key_keeps_no_content(service: Service) -> None:
    messages = [message(f"apple number {n}") for n in range(1000)]

    first, second = [await send_batch(service, "k", messages) for _ in range(2)]

    assert ids_of(first) == ids_of(second)
    (kept,) = await answers_kept(service)
    assert "apple" not in kept
    assert len(kept) < 60 * 1000


async def test_another_batch_under_the_same_key_is_a_conflict(service: Service) -> None:
    await send_batch(service, "k", [message("apple")])
    await send(service, "single", message("apple"))

    answers = [await send_batch(service, key, [message("banana")]) for key in ("k", "single")]
    answers.append(await send(service, "k", message("banana")))

    assert [(answer.status_code, error_of(answer)["code"]) for answer in answers] == [(409, "idempotency_conflict")] * 3
    assert await found(service, "banana") == []


async def test_concurrent_batches_with_one_key_store_one(service: Service) -> None:
    messages = [message(f"apple {n}") for n in range(5)]

    answers = await asyncio.gather(*(send_batch(service, "k", messages) for _ in range(8)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({tuple(ids_of(answer)) for answer in answers}) == 1
    assert len(await found(service, "apple")) == 5


async def test_what_was_bad_in_a_batch_is_bad_again_and_the_rest_is_answered(service: Service) -> None:
    messages = [message("apple"), message(" "), message("pear")]

    first, second = [await send_batch(service, "k", messages) for _ in range(2)]

    assert (first.status_code, second.status_code) == (207, 207)
    for answer in (first, second):
        answer.json()["items"][1]["error"].pop("request_id")
    statuses = [[item["status"] for item in answer.json()["items"]] for answer in (first, second)]
    assert statuses == [[202, 422, 202]] * 2
    assert [first.json()["items"][n] for n in (0, 2)] == [second.json()["items"][n] for n in (0, 2)]


async def test_what_a_batch_stored_and_was_deleted_since_is_not_stored_again(service: Service) -> None:
    messages = [message("apple"), message("pear"), message("plum", conversation_id="c2")]
    first = await send_batch(service, "k", messages)
    await service.client.delete(f"/v1/messages/{ids_of(first)[0]}")
    await service.client.delete("/v1/conversations/c2", params={"tenant_id": "acme"})

    second = await send_batch(service, "k", messages)

    assert second.status_code == 207
    assert [item["status"] for item in second.json()["items"]] == [409, 202, 409]
    assert second.json()["items"][0]["error"]["code"] == "idempotency_conflict"
    assert await found(service, "pear") == ["pear"]
    assert await found(service, "apple") == await found(service, "plum") == []


async def test_a_batch_of_bad_messages_alone_uses_no_key_up(service: Service) -> None:
    refused = await send_batch(service, "k", [message(" ")])
    stored = await send_batch(service, "k", [message("apple")])

    assert (refused.status_code, stored.status_code) == (207, 202)


async def test_a_batch_takes_its_key_for_a_day_and_its_tenant_forgets_it(service: Service) -> None:
    first = await send_batch(service, "k", [message("apple")])
    await service.client.delete("/v1/admin/tenants/acme")
    assert await answers_kept(service) == []
    second = await send_batch(service, "k", [message("apple")])
    async with service.database.connection() as connection:
        await connection.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")

    third = await send_batch(service, "k", [message("banana")])

    assert [answer.status_code for answer in (first, second, third)] == [202] * 3
    assert len({*ids_of(first), *ids_of(second), *ids_of(third)}) == 3


async def test_a_message_that_is_there_by_its_name_is_answered_under_a_new_key(service: Service) -> None:
    body = message("apple", external_id="fruit")
    stored = (await service.client.post("/v1/messages", json=body)).json()

    answers = [await send(service, "k", body) for _ in range(2)]
    conflict = await send(service, "other", {**body, "content": "pear"})

    assert [answer.json()["id"] for answer in answers] == [stored["id"]] * 2
    assert (conflict.status_code, error_of(conflict)["code"]) == (409, "external_id_conflict")
