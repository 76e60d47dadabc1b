"""A retry with the same `Idempotency-Key` returns the first answer and stores nothing."""

import asyncio
from typing import Any

import httpx

from tests.integration.calls import error_of, found, message
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
