"""A changed message is embedded again; a deleted one is gone at once, whoever works on it."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from deployments.storage.embeddings.jobs import Job, Result
from tests.integration.calls import change, error_of, found, get, search, store
from tests.integration.postgres import SPACE
from tests.integration.service import Service

LONG_LEASE = 60.0


async def claim(service: Service) -> tuple[UUID, list[Job]]:
    claim_id = uuid4()
    return claim_id, await service.jobs.claim(claim_id, 10, LONG_LEASE)


def results_of(jobs: list[Job]) -> list[Result]:
    vector = np.zeros(256, dtype=np.float32)
    vector[0] = 1
    return [Result(job.message_id, vector, 0.5) for job in jobs]


async def test_what_a_message_says_anew_is_found_by_its_words_at_once(service: Service) -> None:
    stored = await store(service, "I love apples")
    await service.embed_all()

    changed = await change(service, stored["id"], content="I love cherries")

    assert changed["content"] == "I love cherries"
    assert await found(service, "cherries") == ["I love cherries"]
    assert await found(service, "apples") == []


async def test_changed_content_waits_for_its_embedding_and_importance_again(service: Service) -> None:
    stored = await store(service)
    await service.embed_all()

    changed = await change(service, stored["id"], content="ok")

    assert changed["embedding_status"] == "pending"
    assert changed["importance_score"] is None
    assert (await search(service, "ok"))["items"][0]["similarity"] is None
    await service.embed_all()
    assert (await get(service, stored["id"]))["embedding_status"] == "completed"


async def test_changed_content_is_embedded_by_what_it_says_now(service: Service) -> None:
    first = await store(service, "a dog that barks", created_at="2024-01-01T00:00:00Z")
    await service.embed_all()
    await change(service, first["id"], content="interest rates of the central bank")
    second = await store(service, "interest rates of the central bank", created_at="2024-01-01T00:00:00Z")
    await service.embed_all()

    hits = (await search(service, "monetary policy"))["items"]

    assert {hit["message_id"] for hit in hits} == {first["id"], second["id"]}
    assert hits[0]["similarity"] == pytest.approx(hits[1]["similarity"])


async def test_a_changed_name_is_embedded_again(service: Service) -> None:
    stored = await store(service, name="Ada")
    await service.embed_all()

    assert (await change(service, stored["id"], name="Grace"))["embedding_status"] == "pending"


async def test_what_is_neither_content_nor_name_is_not_embedded_again(service: Service) -> None:
    stored = await store(service, name="Ada")
    await service.embed_all()

    changed = await change(
        service, stored["id"], metadata={"a": 1}, importance_override=0.125, name="Ada", content=stored["content"]
    )

    assert changed["embedding_status"] == "completed"
    assert changed["metadata"] == {"a": 1}
    assert changed["importance_score"] == 0.125
    assert (await service.jobs.counts()).pending == 0


async def test_what_is_left_out_of_a_change_stays(service: Service) -> None:
    stored = await store(service, name="Ada", metadata={"a": 1}, importance_override=0.5)

    changed = await change(service, stored["id"], content="new")

    kept = ("id", "name", "metadata", "importance_score", "created_at", "role", "conversation_id", "tenant_id")
    assert {key: changed[key] for key in kept} == {key: stored[key] for key in kept}
    assert changed["updated_at"] > stored["updated_at"]
    assert await get(service, stored["id"]) == changed


async def test_metadata_is_merged_unless_it_is_to_be_replaced(service: Service) -> None:
    stored = await store(service, metadata={"source": "sms", "tags": ["home"], "at": {"city": "Faro", "room": 2}})

    merged = await change(service, stored["id"], metadata={"reviewed": True, "source": None, "at": {"room": 3}})
    assert merged["metadata"] == {"tags": ["home"], "at": {"city": "Faro", "room": 3}, "reviewed": True}
    assert (await change(service, stored["id"], content="new"))["metadata"] == merged["metadata"]

    replaced = await change(service, stored["id"], metadata={"a": None}, metadata_mode="replace")
    assert replaced["metadata"] == {"a": None}


async def test_callers_that_change_different_keys_at_once_lose_nothing(service: Service) -> None:
    stored = await store(service, metadata={"kept": 1})

    await asyncio.gather(*(change(service, stored["id"], metadata={f"k{n}": n, "last": n}) for n in range(100)))

    now = await get(service, stored["id"])
    assert now["metadata"].pop("last") in range(100)
    assert now["metadata"] == {"kept": 1, **{f"k{n}": n for n in range(100)}}
    assert now["version"] == 101


async def test_a_change_of_metadata_that_makes_no_sense_changes_nothing(service: Service) -> None:
    stored = await store(service, metadata={"large": "x" * 9_000})
    senseless: list[dict[str, Any]] = [
        {"metadata_mode": "merge"},
        {"metadata_mode": "replace", "content": "new"},
        {"metadata_mode": "append", "metadata": {}},
        {"metadata_mode": None, "metadata": {}},
        {"metadata": {"more": "x" * 9_000}},
        {"metadata": {"a": [{"b": [{"c": [{"d": [{"e": [{}]}]}]}]}]}},
        {"metadata": ["no object"]},
    ]

    for fields in senseless:
        answer = await service.client.patch(f"/v1/messages/{stored['id']}", json=fields)
        assert answer.status_code == 422, fields
        assert error_of(answer)["code"] in {"validation_error", "invalid_request"}
    assert await get(service, stored["id"]) == stored


async def test_an_override_that_is_taken_back_leaves_the_computed_importance(service: Service) -> None:
    stored = await store(service, importance_override=1.0)
    await service.embed_all()

    changed = await change(service, stored["id"], importance_override=None)

    assert 0 < changed["importance_score"] < 1


@pytest.mark.parametrize("field", ["content", "metadata"])
async def test_what_every_message_has_cannot_be_changed_to_nothing(service: Service, field: str) -> None:
    stored = await store(service)

    answer = await service.client.patch(f"/v1/messages/{stored['id']}", json={field: None})

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "validation_error"
    assert await get(service, stored["id"]) == stored


async def test_a_message_that_is_not_there_cannot_be_changed_or_deleted(service: Service) -> None:
    for answer in (
        await service.client.patch(f"/v1/messages/{uuid4()}", json={"content": "new"}),
        await service.client.delete(f"/v1/messages/{uuid4()}"),
        await service.client.post(f"/v1/messages/{uuid4()}/retry"),
    ):
        assert answer.status_code == 404
        assert error_of(answer)["code"] == "not_found"


async def test_changes_of_different_fields_at_the_same_time_all_last(service: Service) -> None:
    stored = await store(service)
    await service.embed_all()

    for n in range(10):
        await asyncio.gather(
            change(service, stored["id"], content=f"content {n}"),
            change(service, stored["id"], metadata={"n": n}),
            change(service, stored["id"], importance_override=n / 10),
        )
        now = await get(service, stored["id"])
        assert (now["content"], now["metadata"], now["importance_score"]) == (f"content {n}", {"n": n}, n / 10)


async def test_an_embedding_of_the_old_content_is_not_written(service: Service) -> None:
    stored = await store(service, "old")
    claim_id, jobs = await claim(service)
    await change(service, stored["id"], content="new")

    assert await service.jobs.complete(claim_id, results_of(jobs), SPACE) == 0

    assert (await get(service, stored["id"]))["embedding_status"] == "pending"
    assert (await search(service, "new"))["items"][0]["similarity"] is None
    _, again = await claim(service)
    assert [(job.content, job.attempts) for job in again] == [("new", 0)]


async def test_a_failure_of_the_old_content_is_not_held_against_the_new(service: Service) -> None:
    stored = await store(service, "old")
    claim_id, jobs = await claim(service)
    await change(service, stored["id"], content="new")

    await service.jobs.postpone(claim_id, [(job.message_id, 3600.0, None) for job in jobs], "too late")
    assert await service.jobs.fail(claim_id, [(job.message_id, None) for job in jobs], "too late") == 0

    now = await get(service, stored["id"])
    assert (now["embedding_status"], now["embedding_error"]) == ("pending", None)
    assert len((await claim(service))[1]) == 1


async def test_a_change_of_metadata_leaves_a_claim_alone(service: Service) -> None:
    stored = await store(service)
    claim_id, jobs = await claim(service)
    await change(service, stored["id"], metadata={"a": 1})

    assert await service.jobs.complete(claim_id, results_of(jobs), SPACE) == 1
    assert (await get(service, stored["id"]))["embedding_status"] == "completed"


async def test_a_deleted_message_is_gone_at_once(service: Service) -> None:
    stored = await store(service, "I love apples")
    await store(service, "I love cherries")
    await service.embed_all()

    answer = await service.client.delete(f"/v1/messages/{stored['id']}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert await found(service, "apples") == ["I love cherries"]
    assert (await service.client.get(f"/v1/messages/{stored['id']}")).status_code == 404
    listed = (await service.client.get("/v1/messages", params={"tenant_id": "acme"})).json()["items"]
    assert [item["content"] for item in listed] == ["I love cherries"]


async def test_a_deleted_message_is_gone_while_a_worker_holds_it(service: Service) -> None:
    stored = await store(service, "I love apples")
    await store(service, "I love cherries")
    claim_id, jobs = await claim(service)

    assert (await service.client.delete(f"/v1/messages/{stored['id']}")).status_code == 204
    assert await found(service, "apples") == []
    assert await service.jobs.complete(claim_id, results_of(jobs), SPACE) == 1

    assert await found(service, "apples") == ["I love cherries"]
    assert (await service.jobs.counts()).pending == 0


async def test_a_message_is_deleted_once(service: Service) -> None:
    stored = await store(service)

    answers = await asyncio.gather(*(service.client.delete(f"/v1/messages/{stored['id']}") for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404, 404]
