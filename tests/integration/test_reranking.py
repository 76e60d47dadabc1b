"""A reranker has the last word on the order of a search; while it is away, the ranking has it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.search.reranking import circuit_breaker
from deployments.settings import RerankSettings, RerankStyle, Settings
from jobs.doctor.reranker import scores
from tests.integration.calls import found, search, store
from tests.integration.examining import PASSWORD, Doctor, calls_of
from tests.integration.service import Service, create_service
from tests.integration.test_facts import store_fact
from tests.unit.embedding.stand_in import Scripted
from tests.unit.search.reranking.stand_in import RerankStandIn

QUERY = "Which tea does Ada like?"
CONTENTS = ["Ada likes green tea", "Ada drinks tea in the morning", "Tea grows in Assam", "It rains"]
# The other way round than the ranking has them.
SCORES = {"rains": 0.9, "Assam": 0.8, "morning": 0.7, "green": 0.6}


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[RerankStandIn]:
    """The endpoint, to be reached without a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = RerankStandIn()
    server.scores = SCORES
    yield server
    server.close()


def reranked_by(settings: Settings, stand_in: RerankStandIn, **fields: Any) -> Settings:
    """Settings with a reranker that gets the time that a busy machine needs."""
    given = {"url": f"{stand_in.address}/rerank", "model": "reranker-1", "timeout_seconds": 10.0, **fields}
    return replace(settings, rerank=RerankSettings(**given))


async def fill(service: Service) -> None:
    for content in CONTENTS:
        await store(service, content, name="Ada", created_at="2026-03-01T09:00:00Z")
    await service.embed_all()


@pytest.fixture
async def before(service: Service) -> list[str]:
    """The order that the ranking alone gives."""
    await fill(service)
    return await found(service, QUERY)


@pytest.fixture
async def reranked(
    before: list[str], settings: Settings, provider: EmbeddingProvider, stand_in: RerankStandIn
) -> AsyncIterator[Service]:
    """A service with a reranker over the same messages."""
    async with create_service(reranked_by(settings, stand_in), provider) as service:
        yield service


def counted(text: str) -> dict[str, int]:
    """Outcomes of rerankings in what `/metrics` says, without those that never came."""
    lines = [line for line in text.splitlines() if line.startswith("memory_rerankings_total{")]
    counts = {line.split('"')[1]: int(float(line.split()[-1])) for line in lines}
    return {outcome: count for outcome, count in counts.items() if count}


async def outcomes(service: Service) -> dict[str, int]:
    return counted((await service.client.get("/metrics")).text)


async def test_a_superseded_fact_stays_below_its_successor(reranked: Service, stand_in: RerankStandIn) -> None:
    await store_fact(reranked, "Ada likes no tea", supersedes=(await store_fact(reranked, "Ada likes any tea"))["id"])
    await reranked.embed_all()
    stand_in.scores = SCORES | {"any": 1.0, "no tea": 0.1}

    hits = (await search(reranked, QUERY, explain=True, kinds=["fact"]))["items"]

    assert [(hit["content"], hit["score"]) for hit in hits] == [("Ada likes no tea", 1.0), ("Ada likes any tea", 0.1)]
    for hit in hits:
        assert sum(hit["explanation"].values()) == pytest.approx(hit["score"])


async def test_the_reranker_decides_on_the_order(before: list[str], reranked: Service, stand_in: RerankStandIn) -> None:
    answer = await search(reranked, QUERY, explain=True)

    hits = answer["items"]
    assert [hit["content"] for hit in hits] == CONTENTS[::-1] != before
    assert [hit["score"] for hit in hits] == [0.9, 0.8, 0.7, 0.6]
    assert all(sum(hit["explanation"].values()) == pytest.approx(hit["score"]) for hit in hits)
    assert not answer["degraded"]
    assert stand_in.received[0].body["query"] == QUERY
    assert "(2026-03-01) Ada: It rains" in stand_in.received[0].body["documents"]
    assert await outcomes(reranked) == {"reranked": 1}


@pytest.mark.parametrize("style", list(RerankStyle))
async def test_it_reads_more_than_are_asked_for(
    before: list[str], settings: Settings, provider: EmbeddingProvider, stand_in: RerankStandIn, style: RerankStyle
) -> None:
    async with create_service(reranked_by(settings, stand_in, style=style), provider) as service:
        answer = await search(service, QUERY, top_k=1, neighbors=1)

    assert [hit["content"] for hit in answer["items"]] == ["It rains"]
    assert len(answer["items"][0]["neighbors"]) == 1


async def test_contexts_are_of_what_it_finds(reranked: Service, stand_in: RerankStandIn) -> None:
    request = {
        "tenant_id": "acme",
        "conversation_id": "elsewhere",
        "query": QUERY,
        "token_budget": 1_000,
        "top_k": 1,
        "recent_turns": 0,
        "scope": "tenant",
    }
    answer = await reranked.client.post("/v1/memory/context", json=request)

    assert answer.status_code == 200, answer.text
    scored = {item["content"]: item["score"] for item in answer.json()["items"]}
    assert scored["It rains"] == 0.9


@pytest.mark.parametrize(
    ("scripted", "outcome"),
    [
        (Scripted(500, {}), "unavailable"),
        (Scripted(429, {}, {"Retry-After": "1"}), "unavailable"),
        (Scripted(dropped=True), "unavailable"),
        (Scripted(422, {"error": "too long"}), "rejected"),
        (Scripted(200, "<html>"), "invalid"),
        (Scripted(200, {"results": []}), "invalid"),
    ],
)
async def test_where_it_fails_the_order_before_is_the_answer(
    before: list[str], reranked: Service, stand_in: RerankStandIn, scripted: Scripted, outcome: str
) -> None:
    stand_in.always = scripted

    answer = await search(reranked, QUERY)

    assert [hit["content"] for hit in answer["items"]] == before
    assert not answer["degraded"]
    assert await outcomes(reranked) == {outcome: 1}


async def test_one_that_does_not_answer_is_waited_for_once(
    before: list[str],
    settings: Settings,
    provider: EmbeddingProvider,
    stand_in: RerankStandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It holds the connection open for 30 s: whoever waited for its answer would fail by the request's timeout."""
    monkeypatch.setattr(circuit_breaker, "PAUSE_SECONDS", 60.0)
    stand_in.always = Scripted(silent=True)
    async with create_service(reranked_by(settings, stand_in, timeout_seconds=0.05), provider) as service:
        with capture_logs() as lines:
            answers = [await found(service, QUERY) for _ in range(3)]

        assert answers == [before] * 3
        assert len(stand_in.received) == 1
        assert await outcomes(service) == {"unavailable": 1, "paused": 2}
    assert [line["event"] for line in lines if "rerank" in line["event"]] == ["reranking_paused"]


async def test_once_it_is_back_it_decides_again(
    before: list[str], reranked: Service, stand_in: RerankStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breaker, "PAUSE_SECONDS", 0.0)
    stand_in.script.append(Scripted(503, {}))

    assert [await found(reranked, QUERY) for _ in range(2)] == [before, CONTENTS[::-1]]


@pytest.fixture
def doctor(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Runs it on the test's database."""
    return calls_of(monkeypatch, tmp_path, capsys)


def test_the_doctor_asks_it_as_a_search_does(
    doctor: Doctor, stand_in: RerankStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_RERANK_URL", f"{stand_in.address}/rerank")
    monkeypatch.setenv("MEMORY_RERANK_MODEL", "reranker-1")
    monkeypatch.setenv("MEMORY_RERANK_API_KEY", PASSWORD)
    monkeypatch.setenv("MEMORY_RERANK_TIMEOUT_SECONDS", "10")
    assert "--no-provider" in doctor("--no-provider").said("reranker")
    assert stand_in.received == []

    assert doctor().said("reranker") == ""
    assert len(stand_in.received[0].body["documents"]) == 50
    stand_in.always = Scripted(422, {"error": f"batch size 50 > 32, {PASSWORD}"})
    report = doctor()
    assert "problem: The reranker rejects the request (HTTP 422). It says:" in report.said("reranker")
    assert "batch size 50 > 32" in report.said("reranker")
    assert (report.status, PASSWORD in report.text) == (1, False)


async def test_the_doctor_waits_no_longer_than_a_search(settings: Settings, stand_in: RerankStandIn) -> None:
    stand_in.always = Scripted(silent=True)
    patient = reranked_by(settings, stand_in, timeout_seconds=0.05).rerank

    (finding,) = await scores(f"{stand_in.address}/rerank", patient)

    assert (finding.outcome, finding.said) == ("problem", "The reranker did not answer in time.")
