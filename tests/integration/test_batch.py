"""Many messages in one request: each is judged for itself."""

from typing import Any

import pytest

from tests.integration.calls import error_of, found, get, message
from tests.integration.service import Service


async def test_a_whole_batch_is_accepted_in_order(service: Service) -> None:
    contents = [f"message number {n}" for n in range(250)]

    answer = await service.client.post("/v1/messages/batch", json={"messages": [message(c) for c in contents]})
    body = answer.json()

    assert answer.status_code == 202
    assert (body["accepted"], body["rejected"]) == (250, 0)
    assert [item["status"] for item in body["items"]] == [202] * 250
    assert [item["message"]["content"] for item in body["items"]] == contents
    assert await get(service, body["items"][249]["message"]["id"]) == body["items"][249]["message"]


async def test_a_bad_message_does_not_lose_the_good_ones(service: Service) -> None:
    messages = [message("first good"), message(" "), message("second good"), message("third good")]

    answer = await service.client.post("/v1/messages/batch", json={"messages": messages})
    body = answer.json()

    assert answer.status_code == 207
    assert (body["accepted"], body["rejected"]) == (3, 1)
    assert [item["status"] for item in body["items"]] == [202, 422, 202, 202]
    assert sorted(await found(service, "good")) == ["first good", "second good", "third good"]


@pytest.mark.parametrize(
    "bad",
    [
        {"content": ""},
        {"content": "a\0b"},
        {"role": "wizard"},
        {"unknown": 1},
        {"created_at": "2024-01-01T00:00:00"},
        {"metadata": {"a": "\0"}},
        {"importance_override": 1.5},
        {"tenant_id": None},
    ],
)
async def test_what_is_wrong_with_a_rejected_message_is_said(service: Service, bad: dict[str, Any]) -> None:
    answer = await service.client.post("/v1/messages/batch", json={"messages": [message(), message(**bad)]})
    error = answer.json()["items"][1]["error"]

    assert answer.status_code == 207
    assert error["code"] == "validation_error"
    assert error["request_id"] == answer.headers["X-Request-ID"]
    assert [detail["location"][0] for detail in error["details"]] == [next(iter(bad))]


@pytest.mark.parametrize("item", [None, 1, "text", [], {}])
async def test_what_is_no_message_at_all_is_rejected_for_itself(service: Service, item: object) -> None:
    answer = await service.client.post("/v1/messages/batch", json={"messages": [item, message("kept")]})

    assert answer.status_code == 207
    assert [each["status"] for each in answer.json()["items"]] == [422, 202]


async def test_a_batch_of_bad_messages_alone_stores_nothing(service: Service) -> None:
    answer = await service.client.post("/v1/messages/batch", json={"messages": [message(""), message(" ")]})

    assert answer.status_code == 207
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (0, 2)
    assert (await service.jobs.counts()).pending == 0


async def test_a_thousand_messages_are_a_batch(service: Service) -> None:
    answer = await service.client.post("/v1/messages/batch", json={"messages": [message("x")] * 1000})

    assert answer.status_code == 202
    assert (await service.jobs.counts()).pending == 1000


@pytest.mark.parametrize("size", [0, 1001])
async def test_no_message_and_more_than_a_thousand_are_refused_whole(service: Service, size: int) -> None:
    answer = await service.client.post("/v1/messages/batch", json={"messages": [message("x")] * size})

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "validation_error"
    assert (await service.jobs.counts()).pending == 0


async def test_a_batch_may_span_tenants_and_conversations(service: Service) -> None:
    messages = [message("apple"), message("apple", tenant_id="globex"), message("apple", conversation_id="c2")]

    await service.client.post("/v1/messages/batch", json={"messages": messages})

    assert len(await found(service, "apple")) == 2
    assert len(await found(service, "apple", conversation_id="c2")) == 1
    assert len(await found(service, "apple", tenant_id="globex")) == 1
