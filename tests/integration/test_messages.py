"""One message: stored, read, and told apart from all others."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.integration.calls import error_of, get, message, store
from tests.integration.service import Service


async def test_the_answer_to_a_store_is_the_message(service: Service) -> None:
    before = datetime.now(UTC)
    answer = await service.client.post("/v1/messages", json=message("Hello", name="Ada", metadata={"channel": "web"}))
    body = answer.json()

    assert answer.status_code == 202
    assert UUID(body.pop("id")).version == 7
    assert before <= datetime.fromisoformat(body["created_at"]) <= datetime.now(UTC)
    assert body.pop("created_at") == body.pop("updated_at")
    assert body == {
        "tenant_id": "acme",
        "conversation_id": "c1",
        "role": "user",
        "name": "Ada",
        "content": "Hello",
        "metadata": {"channel": "web"},
        "importance": None,
        "importance_score": None,
        "embedding_status": "pending",
        "embedding_error": None,
        "language": None,
        "archived": False,
        "external_id": None,
        "user_id": None,
        "agent_id": None,
        "ttl_seconds": None,
        "expires_at": None,
        "version": 1,
        "chat": None,
    }


async def test_what_is_left_to_the_caller_is_answered_and_read_as_sent(service: Service) -> None:
    sent = {
        "external_id": "crm/4711 ß",
        "user_id": "ada",
        "agent_id": "concierge",
        "expires_at": "2126-01-01T00:00:00Z",
    }

    stored = await store(service, "Hello", **sent)

    assert stored == {**stored, **sent, "ttl_seconds": None}
    assert await get(service, stored["id"]) == stored


async def test_a_message_with_a_ttl_expires_so_long_after_it_was_stored(service: Service) -> None:
    stored = await store(service, "Hello", ttl_seconds=90)

    lives = datetime.fromisoformat(stored["expires_at"]) - datetime.fromisoformat(stored["updated_at"])
    assert (stored["ttl_seconds"], lives) == (90, timedelta(seconds=90))


@pytest.mark.parametrize(
    "fields",
    [
        {"ttl_seconds": 0},
        {"ttl_seconds": True},
        {"ttl_seconds": 1.5},
        {"ttl_seconds": 10**12},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2126-01-01T00:00:00"},
        {"expires_at": 4_000_000_000},
        {"expires_at": "2126-01-01T00:00:00Z", "ttl_seconds": 60},
        {"external_id": ""},
        {"external_id": " "},
        {"external_id": "x" * 513},
        {"user_id": "x" * 256},
        {"agent_id": "\0"},
    ],
)
async def test_what_no_message_can_have_is_refused(service: Service, fields: dict[str, object]) -> None:
    answer = await service.client.post("/v1/messages", json=message("Hello", **fields))

    assert (answer.status_code, error_of(answer)["code"]) == (422, "validation_error")


async def test_a_stored_message_reads_as_it_was_answered(service: Service) -> None:
    stored = await store(service, "Grüße, 世界 🌍", name="Ada", metadata={"a": [1, 2.5, None, {"b": True}]})

    assert await get(service, stored["id"]) == stored


async def test_an_embedded_message_says_so_and_has_an_importance(service: Service) -> None:
    stored = await store(service)
    await service.embed_all()

    read = await get(service, stored["id"])

    assert read["embedding_status"] == "completed"
    assert 0 < read["importance_score"] < 1


async def test_the_override_takes_the_place_of_the_computed_importance(service: Service) -> None:
    stored = await store(service, importance_override=0.25)
    assert stored["importance_score"] == 0.25
    await service.embed_all()

    assert (await get(service, stored["id"]))["importance_score"] == 0.25


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool"])
async def test_every_role_of_the_chat_formats_is_stored(service: Service, role: str) -> None:
    stored = await store(service, role=role)

    assert (await get(service, stored["id"]))["role"] == role


async def test_a_message_that_was_never_stored_is_not_found(service: Service) -> None:
    answer = await service.client.get(f"/v1/messages/{uuid4()}")

    assert answer.status_code == 404
    assert error_of(answer)["code"] == "not_found"


async def test_a_sane_request_id_of_the_client_is_kept(service: Service) -> None:
    answer = await service.client.get(f"/v1/messages/{uuid4()}", headers={"X-Request-ID": "trace/42:a_b.c-d"})

    assert answer.headers["X-Request-ID"] == "trace/42:a_b.c-d"
    assert error_of(answer)["request_id"] == "trace/42:a_b.c-d"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'quote"', "line\tfeed"])
async def test_any_other_request_id_is_replaced(service: Service, given: str) -> None:
    answer = await service.client.get(f"/v1/messages/{uuid4()}", headers={"X-Request-ID": given})

    assert answer.headers["X-Request-ID"] != given
    assert UUID(hex=answer.headers["X-Request-ID"])


async def test_two_requests_have_two_ids(service: Service) -> None:
    answers = [await service.client.get(f"/v1/messages/{uuid4()}") for _ in range(2)]

    assert answers[0].headers["X-Request-ID"] != answers[1].headers["X-Request-ID"]
