"""While the embedding side is away, words alone decide, and the answer says so."""

from dataclasses import replace

import pytest

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.search import query_embedding
from deployments.settings import Settings
from tests.integration.calls import found, search, store
from tests.integration.failing import Away, Silent, Squeamish
from tests.integration.service import Service, create_service

REJECTED_THEN_ALLOWED = [("forbidden apples", "acme"), ("apples", "acme"), ("apples", "globex")]


@pytest.fixture
def provider() -> EmbeddingProvider:
    """One that is away."""
    return Away()


@pytest.fixture
def away(provider: EmbeddingProvider) -> Away:
    """The provider, to be asked what it was asked."""
    assert isinstance(provider, Away)
    return provider


def pause(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(query_embedding, "PAUSE_SECONDS", seconds)


async def test_words_are_found_and_the_answer_is_marked(service: Service) -> None:
    await store(service, "I love apples")

    answer = await search(service, "apples")

    assert answer["degraded"]
    assert [(hit["content"], hit["similarity"]) for hit in answer["items"]] == [("I love apples", None)]
    assert await found(service, "fruit") == []


async def test_within_the_pause_the_provider_is_not_asked_again(
    service: Service, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause(monkeypatch, 3600)
    answers = [await search(service, query) for query in ("apples", "pears", "cherries")]

    assert [answer["degraded"] for answer in answers] == [True] * 3
    assert away.queries == [["apples"]]


async def test_after_the_pause_it_is_asked_again(service: Service, away: Away, monkeypatch: pytest.MonkeyPatch) -> None:
    pause(monkeypatch, 0)
    await search(service, "apples")
    away.back = True

    assert not (await search(service, "apples"))["degraded"]


async def test_a_provider_that_does_not_answer_is_waited_for_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause(monkeypatch, 3600)
    impatient = settings.search.model_copy(update={"embedding_timeout_seconds": 0.05})
    silent = Silent()
    async with create_service(replace(settings, search=impatient), silent) as service:
        await store(service, "I love apples")

        answers = [await search(service, "apples") for _ in range(2)]

    assert [(answer["degraded"], answer["total"]) for answer in answers] == [(True, 1)] * 2
    assert silent.queries == [["apples"]]
    await silent.close()


async def test_a_query_that_is_rejected_degrades_its_own_search_only(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause(monkeypatch, 3600)
    squeamish = Squeamish()
    async with create_service(settings, squeamish) as service:
        await store(service, "forbidden apples")

        answers = [await search(service, query, tenant_id=tenant) for query, tenant in REJECTED_THEN_ALLOWED]

    assert [answer["degraded"] for answer in answers] == [True, False, False]
    assert answers[0]["total"] == 1
    await squeamish.close()


async def test_health_is_degraded_and_the_service_stays_ready(service: Service) -> None:
    health = await service.client.get("/v1/admin/health")
    readiness = await service.client.get("/v1/admin/readiness")

    body = health.json()
    assert (health.status_code, readiness.status_code) == (200, 200)
    assert (body["status"], body["database"], body["embedding"]) == ("degraded", "ok", "unavailable")
    assert body["problems"] == ["The provider is away."]
    assert readiness.json() == {"status": "degraded", "problems": ["The provider is away."]}
