"""Whatever is sent, the answer is an error of the one shape, never a 500, and nothing of it is stored."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.calls import Json, error_of, message
from tests.integration.service import Service

JSON = {"Content-Type": "application/json"}


def nested(levels: int) -> Json:
    value: Json = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def in_future(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


async def assert_nothing_stored(service: Service) -> None:
    async with service.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM messages") == 0


BAD_FIELDS: dict[str, tuple[str, object]] = {
    "empty content": ("content", ""),
    "blank content": ("content", " \n\t\u2003"),
    "content over 100,000 characters": ("content", "x" * 100_001),
    "NUL in content": ("content", "a\0b"),
    "half a surrogate pair in content": ("content", "a\ud800b"),
    "no content": ("content", None),
    "content of the wrong type": ("content", 1),
    "content in a list": ("content", [5]),
    "unknown role": ("role", "wizard"),
    "role in capitals": ("role", "USER"),
    "no role": ("role", None),
    "half a surrogate pair in the role": ("role", "\ud800"),
    "empty tenant": ("tenant_id", ""),
    "blank tenant": ("tenant_id", "  "),
    "long tenant": ("tenant_id", "x" * 256),
    "NUL in tenant": ("tenant_id", "\0"),
    "tenant of the wrong type": ("tenant_id", {"a": 1}),
    "empty conversation": ("conversation_id", ""),
    "long conversation": ("conversation_id", "x" * 256),
    "empty name": ("name", ""),
    "NUL in name": ("name", "\0"),
    "metadata too deep": ("metadata", nested(9)),
    "metadata far too deep": ("metadata", nested(500)),
    "metadata too large": ("metadata", {"a": "x" * 16_384}),
    "metadata with too many keys": ("metadata", {f"key {n}": n for n in range(2_000)}),
    "NaN in metadata": ("metadata", {"a": [float("nan")]}),
    "infinity in metadata": ("metadata", {"a": {"b": float("-inf")}}),
    "NUL in metadata": ("metadata", {"a": ["\0"]}),
    "NUL in a key of metadata": ("metadata", {"a\0": 1}),
    "half a surrogate pair in metadata": ("metadata", {"a": "\udfff"}),
    "half a surrogate pair in a key of metadata": ("metadata", {"\ud800": 1}),
    "a number of more than 64 bits in metadata": ("metadata", {"a": 2**70}),
    "metadata that is a list": ("metadata", []),
    "metadata that is text": ("metadata", "{}"),
    "metadata that is null": ("metadata", None),
    "importance below 0": ("importance_override", -0.01),
    "importance above 1": ("importance_override", 1.01),
    "importance that is NaN": ("importance_override", float("nan")),
    "importance that is text": ("importance_override", "high"),
    "time without a zone": ("created_at", "2024-01-01T00:00:00"),
    "time in the future": ("created_at", in_future(hours=1)),
    "time at the end of time": ("created_at", "9999-12-31T23:59:59-12:00"),
    "time before 1970": ("created_at", "1969-12-31T23:59:59Z"),
    "time before all time": ("created_at", "0001-01-01T00:00:00+14:00"),
    "time that is none": ("created_at", "yesterday"),
    "time of an impossible day": ("created_at", "2023-02-29T00:00:00Z"),
    "time that is infinite": ("created_at", float("inf")),
    "unknown field": ("surprise", 1),
    "half a surrogate pair in the name of an unknown field": ("\ud800", 1),
}


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS.values(), ids=BAD_FIELDS.keys())
async def test_a_message_with_a_bad_field_is_refused(service: Service, field: str, value: Any) -> None:
    body = json.dumps(message(**{field: value}))

    answer = await service.client.post("/v1/messages", content=body, headers=JSON)

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "validation_error"
    await assert_nothing_stored(service)


@pytest.mark.parametrize("field", ["tenant_id", "conversation_id", "role", "content"])
async def test_a_message_that_lacks_a_field_is_told_which(service: Service, field: str) -> None:
    body = message()
    del body[field]

    error = error_of(await service.client.post("/v1/messages", json=body))

    assert error["details"] == [{"location": ["body", field], "message": "Field required"}]


async def test_what_was_sent_is_not_echoed(service: Service) -> None:
    answer = await service.client.post("/v1/messages", json=message("a-secret\0", role="another-secret"))

    assert len(error_of(answer)["details"]) == 2
    assert "secret" not in answer.text


GOOD_FIELDS: dict[str, tuple[str, object]] = {
    "content of 100,000 characters": ("content", "wörd " * 20_000),
    "content of one endless word": ("content", "x" * 100_000),
    "control characters": ("content", "a\x01\x7f\u202e\ufffe"),
    "a whole surrogate pair": ("content", "🌍"),
    "metadata of 8 levels": ("metadata", nested(8)),
    "numbers at the edge": ("metadata", {"a": 2**63, "b": -(2**63), "c": 1.7e308}),
    "a backslash before u0000": ("metadata", {"a": "\\u0000"}),
    "time of a clock that is a little fast": ("created_at", in_future(minutes=4)),
    "time at the start of 1970": ("created_at", "1970-01-01T00:00:00Z"),
    "identifiers of 255 characters": ("tenant_id", "ä" * 255),
}


@pytest.mark.parametrize(("field", "value"), GOOD_FIELDS.values(), ids=GOOD_FIELDS.keys())
async def test_what_is_odd_but_sound_is_stored_and_embedded(service: Service, field: str, value: Any) -> None:
    answer = await service.client.post("/v1/messages", json=message(**{field: value}))
    assert answer.status_code == 202, answer.text
    await service.embed_all()

    read = (await service.client.get(f"/v1/messages/{answer.json()['id']}")).json()

    assert read["embedding_status"] == "completed"
    assert read[field] == answer.json()[field]


NO_JSON: dict[str, bytes] = {
    "broken": b'{"tenant_id": ',
    "trailing text": b"{} {}",
    "single quotes": b"{'a': 1}",
    "invalid UTF-8": b'{"tenant_id": "\xff\xfe"}',
    "UTF-8 cut in half": b'{"tenant_id": "\xe4\xb8"}',
    "100,000 open brackets": b"[" * 100_000,
    "100,000 nested lists": b"[" * 100_000 + b"]" * 100_000,
    "100,000 nested objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a number of 5,000 digits": b"9" * 5_000,
    "NUL bytes": b"\0\0\0\0\0",
}
WITH_BODY = [
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/batch"),
    ("PATCH", "/v1/messages/0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10"),
    ("POST", "/v1/memory/search"),
    ("POST", "/v1/memory/context"),
    ("POST", "/v1/admin/embeddings/retry"),
]


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON.keys())
async def test_a_body_that_is_no_json_is_a_400(service: Service, method: str, path: str, body: bytes) -> None:
    answer = await service.client.request(method, path, content=body, headers=JSON)

    assert answer.status_code == 400
    assert error_of(answer)["code"] == "invalid_json"


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"text"', b"1", b'{"surprise": 1}'])
async def test_a_body_that_is_no_such_object_is_a_422(service: Service, method: str, path: str, body: bytes) -> None:
    answer = await service.client.request(method, path, content=body, headers=JSON)

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "validation_error"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_body_that_is_declared_as_something_else_is_a_415(service: Service, content_type: str) -> None:
    body = json.dumps(message())

    answer = await service.client.post("/v1/messages", content=body, headers={"Content-Type": content_type})

    assert answer.status_code == 415
    assert error_of(answer)["code"] == "unsupported_media_type"


BAD_SEARCHES: dict[str, Mapping[str, object]] = {
    "top_k of 0": {"top_k": 0},
    "top_k of -1": {"top_k": -1},
    "top_k of 10,000": {"top_k": 10_000},
    "top_k that is no number": {"top_k": "many"},
    "top_k that is no integer": {"top_k": 1.5},
    "empty query": {"query": ""},
    "blank query": {"query": "  "},
    "NUL in the query": {"query": "a\0b"},
    "empty tenant": {"tenant_id": ""},
    "NUL in the tenant": {"tenant_id": "\0"},
    "unknown role": {"role": "wizard"},
    "empty conversation": {"conversation_id": ""},
    "importance above 1": {"min_importance": 2},
    "importance that is NaN": {"min_importance": "nan"},
    "time without a zone": {"created_after": "2024-01-01T00:00:00"},
    "time that is none": {"created_before": "yesterday"},
    "archived that is no yes or no": {"include_archived": "perhaps"},
    "unknown parameter": {"surprise": 1},
}


@pytest.mark.parametrize("bad", BAD_SEARCHES.values(), ids=BAD_SEARCHES.keys())
async def test_a_bad_search_is_refused(service: Service, bad: Mapping[str, Any]) -> None:
    asked = {"tenant_id": "acme", "query": "apples", **bad}

    for answer in (
        await service.client.get("/v1/memory/search", params=asked),
        await service.client.post("/v1/memory/search", json=asked),
    ):
        assert answer.status_code == 422
        assert error_of(answer)["code"] == "validation_error"


BAD_BODY_SEARCHES: dict[str, Json] = {
    "query over 100,000 characters": {"query": "x" * 100_001},
    "half a surrogate pair in the query": {"query": "\ud800"},
    "negative weight": {"weights": {"words": -1}},
    "infinite weight": {"weights": {"words": float("inf")}},
    "unknown weight": {"weights": {"charm": 1}},
    "weights that are null": {"weights": None},
    "metadata with NaN": {"metadata": {"a": float("nan")}},
    "metadata with NUL": {"metadata": {"a": "\0"}},
    "metadata that is a list": {"metadata": [1]},
    "too many neighbors": {"neighbors": 6},
    "negative neighbors": {"neighbors": -1},
    "explain that is no yes or no": {"explain": "loudly"},
}


@pytest.mark.parametrize("bad", BAD_BODY_SEARCHES.values(), ids=BAD_BODY_SEARCHES.keys())
async def test_a_bad_search_with_a_body_is_refused(service: Service, bad: Json) -> None:
    body = json.dumps({"tenant_id": "acme", "query": "apples", **bad})

    answer = await service.client.post("/v1/memory/search", content=body, headers=JSON)

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "validation_error"


@pytest.mark.parametrize("field", ["created_after", "created_before"])
@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
async def test_a_search_up_to_the_ends_of_time_is_no_server_error(service: Service, field: str, when: str) -> None:
    asked = {"tenant_id": "acme", "query": "apples", field: when}

    for answer in (
        await service.client.get("/v1/memory/search", params=asked),
        await service.client.post("/v1/memory/search", json=asked),
    ):
        assert answer.status_code in {200, 422}, answer.text


@pytest.mark.parametrize("message_id", ["nope", "1", "0199d2a4", "%00", "%ff", "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a1x"])
async def test_an_id_that_is_no_uuid_is_refused(service: Service, message_id: str) -> None:
    path = f"/v1/messages/{message_id}"

    for answer in (
        await service.client.get(path),
        await service.client.patch(path, json={"content": "new"}),
        await service.client.delete(path),
        await service.client.post(f"{path}/retry"),
    ):
        assert answer.status_code == 422
        assert error_of(answer)["code"] == "validation_error"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/conversations", "/v1/conversations/c1", "/v1/memory/search"])
@pytest.mark.parametrize("query", ["", "tenant_id=", "tenant_id=%00", "tenant_id=%20", "tenant_id=" + "x" * 256])
async def test_a_call_for_no_tenant_is_refused(service: Service, path: str, query: str) -> None:
    answer = await service.client.get(f"{path}?{query}")

    assert answer.status_code == 422
    assert ["query", "tenant_id"] in [detail["location"] for detail in error_of(answer)["details"]]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v2/messages", 404, "not_found"),
        ("GET", "/v1/messages/%2e%2e/x", 404, "not_found"),
        ("PATCH", "/v1/messages", 405, "method_not_allowed"),
        ("DELETE", "/v1/memory/search", 405, "method_not_allowed"),
    ],
)
async def test_a_way_that_leads_nowhere_has_an_error_of_the_same_shape(
    service: Service, method: str, path: str, status: int, code: str
) -> None:
    answer = await service.client.request(method, path)

    assert answer.status_code == status
    assert error_of(answer)["code"] == code


@pytest.mark.parametrize("key", [b"\xe4\xf6", b"a\0b", b"\xff" * 255, b"a\tb"])
async def test_an_odd_idempotency_key_is_no_server_error(service: Service, key: bytes) -> None:
    headers = [(b"Idempotency-Key", key)]

    answer = await service.client.post("/v1/messages", json=message(), headers=headers)

    assert answer.status_code in {202, 422}
