"""Messages as chat formats send them: taken, found by the text that is made of them, and given back whole."""

import json
from typing import Any

import pytest

from deployments.schemas.chat import MAX_CHAT_BYTES
from tests.integration.calls import change, error_of, found, get, message, store
from tests.integration.service import Service

PICTURE = {"type": "image_url", "image_url": {"url": "https://img.example/b.jpg"}}
CALL = {"id": "call_7", "type": "function", "function": {"name": "lookup_order", "arguments": '{"order":"K-118"}'}}
SENT: dict[str, tuple[dict[str, Any], str, str]] = {
    "parts": ({"role": "user", "content": [{"type": "text", "text": "My bike is teal."}]}, "user", "My bike is teal."),
    "picture": (
        {"role": "user", "name": "Ada", "content": [PICTURE, {"type": "text", "text": "Biscuit"}]},
        "user",
        "[image]\nBiscuit",
    ),
    "calls": (
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        "assistant",
        'lookup_order({"order":"K-118"})',
    ),
    "result": ({"role": "tool", "tool_call_id": "call_7", "content": '{"eta":"Tuesday"}'}, "tool", '{"eta":"Tuesday"}'),
    "developer": ({"role": "developer", "content": "Answer in Dutch."}, "system", "Answer in Dutch."),
    "tool_use": (
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Faro"}},
            ],
        },
        "assistant",
        'Let me see.\nweather({"city":"Faro"})',
    ),
    "gemini": ({"role": "model", "parts": [{"text": "It is sunny."}]}, "assistant", "It is sunny."),
}


def body(fields: dict[str, Any]) -> dict[str, Any]:
    return {"tenant_id": "acme", "conversation_id": "c1", **fields}


async def test_what_is_sent_is_given_back_whole_by_every_read(service: Service) -> None:
    single = [(await service.client.post("/v1/messages", json=body(each))).json() for each, _, _ in SENT.values()]
    batch = await service.client.post(
        "/v1/messages/batch", json={"messages": [body(each) for each, _, _ in SENT.values()]}
    )
    stored = [*single, *(item["message"] for item in batch.json()["items"])]
    listed = (await service.client.get("/v1/messages", params={"tenant_id": "acme"})).json()["items"]

    assert [(each["chat"], each["role"], each["content"]) for each in stored] == [*SENT.values()] * 2
    assert {each["id"]: each for each in listed} == {each["id"]: each for each in stored}
    assert [await get(service, each["id"]) for each in stored] == stored


async def test_it_is_found_by_its_text_and_embedded(service: Service) -> None:
    for fields, _, _ in SENT.values():
        await service.client.post("/v1/messages", json=body(fields))
    await service.embed_all()

    assert (await found(service, "lookup_order K-118"))[0] == 'lookup_order({"order":"K-118"})'
    assert (await found(service, "weather in Faro"))[0] == 'Let me see.\nweather({"city":"Faro"})'
    assert await found(service, "Dutch", role="system") == ["Answer in Dutch."]


async def test_a_retry_with_a_key_returns_it_whole(service: Service) -> None:
    fields, _, _ = SENT["calls"]
    answers = [
        (await service.client.post("/v1/messages", json=body(fields), headers={"Idempotency-Key": "k"})).json()
        for _ in range(2)
    ]

    assert answers[0] == answers[1]
    assert answers[0]["chat"] == fields


async def test_what_cannot_be_kept_is_refused_alone(service: Service) -> None:
    large = {"role": "user", "content": [PICTURE | {"data": "x" * MAX_CHAT_BYTES}]}
    answer = await service.client.post("/v1/messages", json=body(large))
    batch = await service.client.post(
        "/v1/messages/batch", json={"messages": [message("a"), body(large), body({"role": "user", "content": [{}]})]}
    )

    assert answer.status_code == 422
    assert "must not be larger than 262144 bytes" in error_of(answer)["details"][0]["message"]
    assert batch.status_code == 207
    assert [item["status"] for item in batch.json()["items"]] == [202, 422, 422]
    assert batch.json()["items"][2]["error"]["details"][0]["location"] == ["content", 0]


@pytest.mark.parametrize("escape", [r"\u0000", r"\ud800"])
async def test_characters_that_cannot_be_stored_are_refused(service: Service, escape: str) -> None:
    raw = json.dumps(body({"role": "user", "content": [{"type": "text", "text": "ESCAPE"}]})).replace("ESCAPE", escape)
    answer = await service.client.post("/v1/messages", content=raw, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422


async def test_a_change_takes_parts_and_keeps_what_it_does_not_name(service: Service) -> None:
    result = (await service.client.post("/v1/messages", json=body(SENT["result"][0]))).json()
    parts = [{"type": "text", "text": "It comes on Friday."}]

    changed = await change(service, result["id"], content=parts)
    reworded = await change(service, result["id"], content="It comes on Sunday.")

    assert (changed["content"], changed["chat"]) == ("It comes on Friday.", result["chat"] | {"content": parts})
    assert reworded["chat"] == result["chat"] | {"content": "It comes on Sunday."}
    assert await get(service, result["id"]) == reworded
    assert await found(service, "Sunday") == ["It comes on Sunday."]
    assert await found(service, "Tuesday") == []


async def test_a_text_in_place_of_parts_is_a_plain_message(service: Service) -> None:
    shown = (await service.client.post("/v1/messages", json=body(SENT["picture"][0]))).json()

    kept = await change(service, shown["id"], metadata={"seen": True}, content=shown["content"])
    changed = await change(service, shown["id"], content="Biscuit, my dog")

    assert kept["chat"] == shown["chat"]
    assert (changed["content"], changed["chat"]) == ("Biscuit, my dog", None)


async def test_a_plain_message_becomes_one_of_parts(service: Service) -> None:
    stored = await store(service, "Biscuit")

    same_text = await change(service, stored["id"], content=[{"type": "text", "text": "Biscuit"}])
    refused = await service.client.patch(f"/v1/messages/{stored['id']}", json={"content": []})

    assert same_text["chat"] == {"role": "user", "content": [{"type": "text", "text": "Biscuit"}]}
    assert refused.status_code == 422
    assert error_of(refused)["details"][0]["location"] == ["body", "content"]
