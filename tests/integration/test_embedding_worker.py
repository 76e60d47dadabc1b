"""The worker, when all goes well and when the provider or the scoring does not answer."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding.spaces import OneSpace
from deployments.embedding.worker import EmbeddingWorker, Score
from deployments.errors import EmbeddingRejectedError, EmbeddingUnavailableError, UnavailableError
from deployments.scoring.scorable import Scorable
from deployments.settings import Settings
from tests.integration.calls import found, get, message, store, store_many
from tests.integration.failing import Away, Faulty, Misfit, Scripted, Squeamish
from tests.integration.postgres import SPACE
from tests.integration.service import Service, score

AWAY = EmbeddingUnavailableError("The provider is away.")
OUR_FAULT = "The embedding failed for a reason of ours."


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Three attempts, which come due at once."""
    monkeypatch.setenv("MEMORY_EMBEDDING_MAX_ATTEMPTS", "3")
    monkeypatch.setenv("MEMORY_EMBEDDING_RETRY_BASE_SECONDS", "0.000001")
    monkeypatch.setenv("MEMORY_EMBEDDING_RETRY_MAX_SECONDS", "0.000001")
    return Settings.load()


def worker_with(
    service: Service, provider: EmbeddingProvider, scoring: Score = score, **settings: object
) -> EmbeddingWorker:
    changed = service.settings.embedding.model_copy(update=settings)
    return EmbeddingWorker(service.jobs, OneSpace(SPACE, provider), scoring, changed, batch_size=128, concurrency=1)


async def no_scores(messages: Sequence[Scorable], request_ids: Sequence[str]) -> list[float]:
    raise UnavailableError("No scoring replica answered.")


class Counted:
    """The scoring deployment, whose calls are counted."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, messages: Sequence[Scorable], request_ids: Sequence[str]) -> list[float]:
        self.calls += 1
        return await score(messages, request_ids)


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


@pytest.mark.parametrize("failing", [Away, Faulty])
async def test_each_attempt_waits_longer_than_the_one_before_up_to_a_ceiling(
    service: Service, failing: type[Scripted]
) -> None:
    stored = await store(service)
    worker = worker_with(service, failing(), retry_base_seconds=1000.0, retry_max_seconds=3000.0, max_attempts=10)

    for longest in (1000, 2000, 3000, 3000, 3000):
        await worker.work_once()
        assert longest / 2 - 100 <= await due_in(service, stored["id"]) <= longest
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


@pytest.mark.parametrize("working", [EmbeddingUnavailableError, UnavailableError], ids=["provider", "scoring"])
async def test_an_outage_fails_no_message_however_long_it_is(service: Service, working: type[Exception]) -> None:
    stored = await store_many(service, [message("one"), message("two")])
    provider = Away()
    provider.back = working is not EmbeddingUnavailableError
    away = worker_with(service, provider, score if working is EmbeddingUnavailableError else no_scores)

    for _ in range(5 * service.settings.embedding.max_attempts):
        assert await away.work_once() == 2
        await make_due(service)
    assert {(await get(service, each["id"]))["embedding_status"] for each in stored} == {"pending"}
    await service.embed_all()

    assert {(await get(service, each["id"]))["embedding_status"] for each in stored} == {"completed"}


async def test_an_outage_takes_no_attempt_from_a_message(service: Service) -> None:
    stored = await store(service)
    for _ in range(5):
        await worker_with(service, Away()).work_once()

    faulty = worker_with(service, Faulty())
    assert [await faulty.work_once() for _ in range(4)] == [1, 1, 1, 0]

    assert (await get(service, stored["id"]))["embedding_status"] == "failed"


async def test_after_the_last_attempt_a_message_has_failed_and_is_found_by_its_words(service: Service) -> None:
    stored = await store(service, "I love apples")
    provider = Faulty()
    worker = worker_with(service, provider)

    assert [await worker.work_once() for _ in range(4)] == [1, 1, 1, 0]

    failed = await get(service, stored["id"])
    assert (failed["embedding_status"], failed["embedding_error"]) == ("failed", OUR_FAULT)
    assert failed["importance_score"] is not None
    assert len(provider.documents) == 3
    assert await found(service, "apples") == ["I love apples"]
    counts = await service.jobs.counts()
    assert (counts.pending, counts.failed) == (0, 1)


async def test_the_log_says_by_its_code_why_messages_are_postponed_and_fail(service: Service) -> None:
    await store(service)

    with capture_logs() as lines:
        for provider in (Away(), Faulty(), Faulty()):
            assert await worker_with(service, provider, max_attempts=2).work_once() == 1

    assert [(line["event"], line["count"], line["code"]) for line in lines if "count" in line] == [
        ("messages_postponed", 1, "embedding_unavailable"),
        ("messages_postponed", 1, "embedding_error"),
        ("messages_failed", 1, "embedding_error"),
    ]


async def fail(service: Service, *messages: str) -> None:
    for message_id in messages:
        assert (await get(service, message_id))["embedding_status"] == "pending"
    worker = worker_with(service, Faulty(), max_attempts=1)
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

    worker = worker_with(service, Faulty())

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


async def test_one_rejected_text_costs_few_calls(service: Service) -> None:
    contents = [f"message {number}" for number in range(127)] + ["forbidden"]
    await store_many(service, [message(content) for content in contents])
    provider, scored = Squeamish(), Counted()

    assert await worker_with(service, provider, scored).work_once() == 128

    counts = await service.jobs.counts()
    assert (counts.pending, counts.failed) == (0, 1)
    # Once for all, then twice for each of the seven halvings; to fail it, it is scored once more.
    assert (len(provider.documents), scored.calls) == (15, 16)


async def test_a_failed_message_that_is_changed_is_embedded(service: Service) -> None:
    stored = await store(service, "forbidden")
    worker = worker_with(service, Scripted(EmbeddingRejectedError("The text is not allowed.")))
    await worker.work_once()
    assert (await get(service, stored["id"]))["embedding_status"] == "failed"

    await service.client.patch(f"/v1/messages/{stored['id']}", json={"content": "allowed"})
    await worker.work_once()

    now = await get(service, stored["id"])
    assert (now["embedding_status"], now["embedding_error"]) == ("completed", None)


async def test_a_message_that_cannot_be_scored_is_tried_again(service: Service) -> None:
    stored = await store(service)
    provider = Scripted()
    unscored = worker_with(service, provider, no_scores)

    await unscored.work_once()
    # What a provider is paid for is not made to be thrown away.
    assert provider.documents == []
    now = await get(service, stored["id"])
    await service.embed_all()

    assert (now["embedding_status"], now["embedding_error"]) == ("pending", "No scoring replica answered.")
    assert (await get(service, stored["id"]))["embedding_status"] == "completed"


async def test_a_message_that_crashed_too_often_fails_without_a_score_where_scoring_is_away(service: Service) -> None:
    stored = await store(service)
    async with service.database.connection() as connection:
        await connection.execute("UPDATE embedding_jobs SET attempts = $1", service.settings.embedding.max_attempts)

    await worker_with(service, Scripted(), no_scores).work_once()

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
