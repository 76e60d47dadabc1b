"""HAProxy sends a request that a dying replica left unanswered to another one: it is stored once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from serve_app.edge.haproxy_headers import DELIVERY_HEADER, BehindHAProxy
from tests.integration.calls import error_of, found, message
from tests.integration.service import Service

FIRST = {DELIVERY_HEADER: "1764338400000.0f9c2f7e-6c6a-4a0e-9d5e-3f1b2c4d5e6f"}
SECOND = {DELIVERY_HEADER: "1764338400000.d3b07384-d9a0-4e2b-8f3a-6b1c2d3e4f50"}


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client that stands where HAProxy does."""
    transport = httpx.ASGITransport(BehindHAProxy(service.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
        yield client


async def store(client: httpx.AsyncClient, content: str, source: dict[str, str]) -> dict[str, Any]:
    answer = await client.post("/v1/messages", json=message(content), headers=source)
    assert answer.status_code == 202
    stored: dict[str, Any] = answer.json()
    return stored


async def test_a_second_attempt_answers_what_the_first_one_stored(service: Service, client: httpx.AsyncClient) -> None:
    first, second = [await store(client, "apple", FIRST) for _ in range(2)]

    assert first == second
    assert await found(service, "apple") == ["apple"]


async def test_two_deliveries_are_two_messages(service: Service, client: httpx.AsyncClient) -> None:
    first, second = await store(client, "apple", FIRST), await store(client, "apple", SECOND)

    assert first["id"] != second["id"]
    assert await found(service, "apple") == ["apple", "apple"]


async def test_attempts_at_the_same_time_store_one_message(service: Service, client: httpx.AsyncClient) -> None:
    both = [*[store(client, "apple", FIRST) for _ in range(12)], store(client, "banana", SECOND)]
    *same, other = await asyncio.gather(*both)

    assert {each["id"] for each in same} == {same[0]["id"]}
    assert other["id"] != same[0]["id"]
    listed = (await client.get("/v1/messages", params={"tenant_id": other["tenant_id"]})).json()["items"]
    assert sorted(each["content"] for each in listed) == ["apple", "banana"]


async def test_a_batch_that_was_stored_in_part_is_completed(service: Service, client: httpx.AsyncClient) -> None:
    contents = ["apple", "banana", "cherry"]
    alone = await store(client, contents[0], FIRST)

    batch = {"messages": [message(content) for content in contents]}
    answers = [await client.post("/v1/messages/batch", json=batch, headers=FIRST) for _ in range(2)]

    first, second = [[item["message"] for item in answer.json()["items"]] for answer in answers]
    assert first == second
    assert first[0] == alone
    listed = (await client.get("/v1/messages", params={"tenant_id": first[0]["tenant_id"]})).json()["items"]
    assert sorted(each["content"] for each in listed) == contents


async def test_the_id_of_another_tenants_message_is_refused(service: Service, client: httpx.AsyncClient) -> None:
    await store(client, "apple", FIRST)

    answer = await client.post("/v1/messages", json=message("apple", tenant_id="globex"), headers=FIRST)

    assert (answer.status_code, error_of(answer)["code"]) == (409, "id_taken")
    assert await found(service, "apple", tenant_id="globex") == []


async def test_a_second_attempt_to_put_answers_as_the_first_one(service: Service, client: httpx.AsyncClient) -> None:
    async def put(content: str, source: dict[str, str], **headers: str) -> httpx.Response:
        body = message(content, external_id="fruit")
        return await client.put("/v1/messages", json=body, headers=source | headers)

    stored = [await put("apple", FIRST, **{"If-None-Match": "*"}) for _ in range(2)]
    replaced = [await put("banana", SECOND) for _ in range(2)]
    late = await put("apple", FIRST)

    assert [answer.status_code for answer in stored] == [201, 201]
    assert [answer.status_code for answer in replaced] == [200, 200]
    assert stored[0].json() == stored[1].json()
    # What has taken its place meanwhile stays.
    assert (late.status_code, late.json()["content"]) == (201, "banana")
    assert await found(service, "banana") == ["banana"]
