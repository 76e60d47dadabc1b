"""The worker, when all goes well and when the provider or the scoring does not answer."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding.spaces import OneSpace
from deployments.embedding.worker import EmbeddingWorker
from deployments.errors import EmbeddingRejectedError, EmbeddingUnavailableError, UnavailableError
from deployments.scoring.scorable import Scorable
from deployments.settings import Settings
from tests.integration.calls import found, get, message, store, store_many
from tests.integration.failing import Away, Faulty, Misfit, Scripted, Squeamish
from tests.integration.postgres import SPACE
from tests.integration.service import Service, score

AWAY = EmbeddingUnavailableError("The provider is away.")


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Three attempts, which come due at once."""
    monkeypatch.setenv("MEMORY_EMBEDDING_MAX_ATTEMPTS", "3")
    monkeypatch.setenv("MEMORY_EMBEDDING_RETRY_BASE_SECONDS", "0.000001")
    monkeypatch.setenv("MEMORY_EMBEDDING_RETRY_MAX_SECONDS", "0.000001")
    return Settings.load()


def worker_with(service: Service, provider: EmbeddingProvider, **settings: object) -> EmbeddingWorker:
    changed = service.settings.embedding.model_copy(update=settings)
    return EmbeddingWorker(service.jobs, OneSpace(SPACE, provider), score, changed, batch_size=128, concurrency=1)


async def due_in(service: Service, message_id: str) -> float:
    """Seconds until a message's embedding is tried again."""
    query = "SELECT extract(epoch FROM available_at - now())::float8 FROM embedding_jobs WHERE message_id = $1"
    async with service.database.connection() as connection:
        seconds: float = await connection.fetchval(query, UUID(message_id))
    return seconds


async def test_a_failed_attempt_is_made_again(service: Service) -> None:
    stored = await store(service)
    provider = Scripted(AWAY)
    worker = worker_with(service, provider)

    assert await worker.work_once() == 1
    after_one = await get(service, stored["id"])
    assert await worker.work_once() == 1
    after_two = await get(service, stored["id"])

    assert (after_one["embedding_status"], after_one["embedding_error"]) == ("pending", "The provider is away.")
    assert (after_two["embedding_status"], after_two["embedding_error"]) == ("completed", None)
    assert after_two["importance_score"] is not None


async def test_each_attempt_waits_longer_than_the_one_before(service: Service) -> None:
    stored = await store(service)
    worker = worker_with(service, Away(), retry_base_seconds=100.0, retry_max_seconds=1e6, max_attempts=10)

    for attempt in range(1, 4):
        await worker.work_once()
        waits = await due_in(service, stored["id"])
        longest = 100 * 2 ** (attempt - 1)
        assert longest / 2 - 5 <= waits <= longest
        await make_due(service)


async def make_due(service: Service) -> None:
    async with service.database.connection() as connection:
        await connection.execute("UPDATE embedding_jobs SET available_at = now()")


async def test_the_wait_that_the_provider_asks_for_is_kept(service: Service) -> None:
    stored = await store(service)
    worker = worker_with(service, Scripted(EmbeddingUnavailableError("Busy.", None, 500.0)))

    await worker.work_once()

    assert 490 < await due_in(service, stored["id"]) <= 500
    assert await worker.work_once() == 0


async def test_after_the_last_attempt_a_message_has_failed_and_is_found_by_its_words(service: Service) -> None:
    stored = await store(service, "I love apples")
    provider = Away()
    worker = worker_with(service, provider)

    assert [await worker.work_once() for _ in range(4)] == [1, 1, 1, 0]

    failed = await get(service, stored["id"])
    assert (failed["embedding_status"], failed["embedding_error"]) == ("failed", "The provider is away.")
    assert failed["importance_score"] is not None
    assert len(provider.documents) == 3
    assert await found(service, "apples") == ["I love apples"]
    counts = await service.jobs.counts()
    assert (counts.pending, counts.failed) == (0, 1)


async def test_the_log_says_by_its_code_why_messages_are_postponed_and_fail(service: Service) -> None:
    await store(service)
    worker = worker_with(service, Away(), max_attempts=2)

    with capture_logs() as lines:
        assert [await worker.work_once() for _ in range(2)] == [1, 1]

    assert [(line["event"], line["count"], line["code"]) for line in lines if "count" in line] == [
        ("messages_postponed", 1, "embedding_unavailable"),
        ("messages_failed", 1, "embedding_unavailable"),
    ]


async def fail(service: Service, *messages: str) -> None:
    for message_id in messages:
        assert (await get(service, message_id))["embedding_status"] == "pending"
    worker = worker_with(service, Scripted(AWAY), max_attempts=1)
    await worker.work_once()
    for message_id in messages:
        assert (await get(service, message_id))["embedding_status"] == "failed"


async def test_a_failed_message_is_tried_again_with_one_call(service: Service) -> None:
    stored, other = await store(service), await store(service)
    await fail(service, stored["id"], other["id"])

    answer = await service.client.post(f"/v1/messages/{stored['id']}/retry")
    await service.embed_all()

    assert (answer.status_code, answer.json()["embedding_status"]) == (202, "pending")
    assert (await get(service, stored["id"]))["embedding_status"] == "completed"
    assert (await get(service, other["id"]))["embedding_status"] == "failed"


async def test_a_retried_message_has_all_its_attempts_before_it(service: Service) -> None:
    stored = await store(service)
    await fail(service, stored["id"])
    await service.client.post(f"/v1/messages/{stored['id']}/retry")

    worker = worker_with(service, Away())

    assert [await worker.work_once() for _ in range(4)] == [1, 1, 1, 0]


async def test_a_retry_of_a_message_that_did_not_fail_changes_nothing(service: Service) -> None:
    stored = await store(service)
    await service.embed_all()
    before = await get(service, stored["id"])

    answer = await service.client.post(f"/v1/messages/{stored['id']}/retry")

    assert (answer.status_code, answer.json()) == (202, before)
    assert (await service.jobs.counts()).pending == 0


async def test_all_failed_messages_of_a_tenant_or_of_everyone_are_tried_again_with_one_call(service: Service) -> None:
    stored = [await store(service, tenant_id=tenant) for tenant in ("acme", "acme", "globex", "initech")]
    await fail(service, *(each["id"] for each in stored))

    one = await service.client.post("/v1/admin/embeddings/retry", json={"tenant_id": "acme"})
    everyone = await service.client.post("/v1/admin/embeddings/retry", json={})
    await service.embed_all()

    assert (one.status_code, one.json()) == (202, {"retried": 2})
    assert (everyone.status_code, everyone.json()) == (202, {"retried": 2})
    assert (await service.jobs.counts()).failed == 0
    assert {(await get(service, each["id"]))["embedding_status"] for each in stored} == {"completed"}


async def test_a_rejected_text_fails_alone_and_at_once(service: Service) -> None:
    contents = ["one", "two", "forbidden", "four"]
    stored = await store_many(service, [message(content) for content in contents])
    worker = worker_with(service, Squeamish())

    assert await worker.work_once() == 4

    now = [await get(service, each["id"]) for each in stored]
    assert [each["embedding_status"] for each in now] == ["completed", "completed", "failed", "completed"]
    assert now[2]["embedding_error"] == "The text is not allowed."
    assert await worker.work_once() == 0


async def test_a_failed_message_that_is_changed_is_embedded(service: Service) -> None:
    stored = await store(service, "forbidden")
    worker = worker_with(service, Scripted(EmbeddingRejectedError("The text is not allowed.")))
    await worker.work_once()
    assert (await get(service, stored["id"]))["embedding_status"] == "failed"

    await service.client.patch(f"/v1/messages/{stored['id']}", json={"content": "allowed"})
    await worker.work_once()

    now = await get(service, stored["id"])
    assert (now["embedding_status"], now["embedding_error"]) == ("completed", None)


async def no_scores(messages: Sequence[Scorable], request_ids: Sequence[str]) -> list[float]:
    raise UnavailableError("No scoring replica answered.")


async def test_a_message_that_cannot_be_scored_is_tried_again(service: Service) -> None:
    stored = await store(service)
    settings = service.settings.embedding
    unscored = EmbeddingWorker(
        service.jobs, OneSpace(SPACE, Scripted()), no_scores, settings, batch_size=128, concurrency=1
    )

    await unscored.work_once()
    now = await get(service, stored["id"])
    await service.embed_all()

    assert (now["embedding_status"], now["embedding_error"]) == ("pending", "No scoring replica answered.")
    assert (await get(service, stored["id"]))["embedding_status"] == "completed"


async def test_a_message_that_can_be_neither_scored_nor_embedded_fails_in_the_end(service: Service) -> None:
    stored = await store(service)
    settings = service.settings.embedding
    unscored = EmbeddingWorker(
        service.jobs, OneSpace(SPACE, Away()), no_scores, settings, batch_size=128, concurrency=1
    )

    assert [await unscored.work_once() for _ in range(4)] == [1, 1, 1, 0]

    now = await get(service, stored["id"])
    assert (now["embedding_status"], now["importance_score"]) == ("failed", None)


async def broken_scores(messages: Sequence[Scorable], request_ids: Sequence[str]) -> list[float]:
    raise ZeroDivisionError


async def test_scoring_that_breaks_in_an_unforeseen_way_holds_up_no_message_for_ever(service: Service) -> None:
    stored = await store(service)
    settings = service.settings.embedding
    unscored = EmbeddingWorker(
        service.jobs, OneSpace(SPACE, Scripted()), broken_scores, settings, batch_size=128, concurrency=1
    )

    assert [await unscored.work_once() for _ in range(4)] == [1, 1, 1, 0]

    now = await get(service, stored["id"])
    assert (now["embedding_status"], now["importance_score"]) == ("failed", None)


async def test_what_the_worker_embeds_names_who_spoke_and_when(service: Service) -> None:
    await store(service, "I love apples", name="Ada", created_at="2024-03-01T12:00:00Z")
    provider = Scripted()

    await worker_with(service, provider).work_once()

    assert provider.documents == [["(2024-03-01) Ada: I love apples"]]


async def test_a_running_worker_hears_of_new_messages(service: Service) -> None:
    running = asyncio.create_task(service.worker.run())
    try:
        stored = await store(service)
        async with asyncio.timeout(10):
            while (await get(service, stored["id"]))["embedding_status"] != "completed":  # noqa: ASYNC110 - Postgres sets no event
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert running.cancelled()


@pytest.mark.parametrize("unfit", [Misfit, Faulty])
async def test_what_can_never_be_written_fails_in_the_end(service: Service, unfit: type[Scripted]) -> None:
    """It must neither stop the worker nor be tried for ever: what waits behind it would never be embedded."""
    stored = await store(service)
    worker = worker_with(service, unfit())

    for _ in range(3):
        await worker.work_once()
        await make_due(service)
    assert await worker.work_once() == 0

    now = await get(service, stored["id"])
    assert now["embedding_status"] == "failed"
    assert now["embedding_error"]


async def test_importance_does_not_wait_for_an_embedding_that_is_postponed(service: Service) -> None:
    stored = await store(service)
    worker = worker_with(service, Scripted(EmbeddingUnavailableError("Away for now.")))

    await worker.work_once()

    now = await get(service, stored["id"])
    assert now["embedding_status"] == "pending"
    assert 0 < now["importance_score"] < 1
