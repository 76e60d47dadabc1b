"""What a trace holds, over a real database and the real exporter. Across replicas: tests/serve/test_tracing.py."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from typing import Any

import pytest
import structlog

from deployments.embedding.providers.local import LocalProvider
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.errors import EmbeddingUnavailableError
from deployments.runtime.logging import configure_logging
from deployments.settings import Environment, LogLevel, RuntimeSettings, Settings
from deployments.tracing.exporting import Tracing, start_tracing
from tests.integration.calls import message, search, store
from tests.integration.service import Service, create_service
from tests.otlp_receiver import Received, Receiver, receiving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
SECRETS = ("acme", "conv-1", "Python", "programming", "user-key")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A collector that the environment names."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        yield receiver


@pytest.fixture
async def tracing(receiver: Receiver) -> AsyncIterator[Tracing]:
    """Tracing as a replica turns it on."""
    tracing = start_tracing("Ingress")
    yield tracing
    await tracing.stop()


@pytest.fixture
async def traced(
    tracing: Tracing, settings: Settings, provider: EmbeddingProvider, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Service]:
    """The service, made after tracing was turned on, with a log line for every request."""
    monkeypatch.setenv("MEMORY_SLOW_REQUEST_SECONDS", "0")
    async with create_service(Settings.load(), provider) as service:
        yield service


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """What is logged, as in production."""
    before, stream = structlog.get_config(), StringIO()
    monkeypatch.setattr(sys, "__stdout__", stream)
    settings = RuntimeSettings(environment=Environment.PRODUCTION, log_level=LogLevel.DEBUG)
    configure_logging(settings, "Ingress")
    structlog.configure(cache_logger_on_first_use=False)
    yield stream
    structlog.configure(**before)


def lines(log: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def ended(tracing: Tracing, receiver: Receiver) -> list[Received]:
    """All spans, once they have been exported."""
    assert tracing.provider is not None
    await asyncio.to_thread(tracing.provider.force_flush)
    return receiver.spans


async def asked(service: Service, **headers: str | bytes) -> None:
    answer = await service.client.get(
        "/v1/memory/search",
        params={"tenant_id": "acme", "query": "Python"},
        headers=[(name.encode(), as_bytes(value)) for name, value in headers.items()],
    )
    assert answer.status_code == 200


def as_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def named(spans: list[Received], name: str) -> Received:
    (found,) = [span for span in spans if span.name == name]
    return found


async def test_a_search_is_one_trace_from_the_request_to_the_database(
    traced: Service, tracing: Tracing, receiver: Receiver
) -> None:
    await store(traced)
    await traced.embed_all()
    await asked(traced, traceparent=SAMPLED, **{"X-Request-ID": "r-1"})
    spans = [span for span in await ended(tracing, receiver) if span.trace == TRACE]

    request = named(spans, "GET /v1/memory/search")
    assert (request.parent, request.kind, request.failed) == (PARENT, "SERVER", False)
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/memory/search",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "memory_layer.request_id": "r-1",
    }
    waiting, served = named(spans, "search"), named(spans, "Search.search")
    assert (waiting.parent, waiting.kind) == (request.span, "CLIENT")
    assert (served.parent, served.kind) == (waiting.span, "SERVER")
    index, statement = named(spans, "index"), named(spans, "tenant_messages")
    assert (index.parent, statement.parent, statement.kind) == (served.span, index.span, "CLIENT")
    assert statement.attributes["db.system.name"] == "postgresql"
    assert statement.attributes["db.query.summary"] == "tenant_messages"
    assert named(spans, "embeddings").attributes["gen_ai.request.model"] == "wordllama/l2_supercat"
    assert named(spans, "embeddings").attributes["memory_layer.purpose"] == "queries"
    assert named(spans, "rank").parent == served.span


async def test_a_store_is_one_trace_up_to_its_statement(traced: Service, tracing: Tracing, receiver: Receiver) -> None:
    answer = await traced.client.post("/v1/messages", json=message("I love Python"), headers={"traceparent": SAMPLED})
    assert answer.status_code == 202
    spans = [span for span in await ended(tracing, receiver) if span.trace == TRACE]

    request = named(spans, "POST /v1/messages")
    assert named(spans, "store").parent == request.span
    assert named(spans, "store_messages").parent == named(spans, "store").span


async def test_what_is_stored_together_is_in_one_trace_and_the_others_link_to_it(
    traced: Service, tracing: Tracing, receiver: Receiver
) -> None:
    await asyncio.gather(*(store(traced, content=f"Number {number}") for number in range(20)))
    spans = await ended(tracing, receiver)
    waiting = {span.span: span for span in spans if span.name == "store"}
    statements = [span for span in spans if span.name == "store_messages"]

    assert len(waiting) == 20 > len(statements)
    assert len({span.trace for span in waiting.values()}) == 20
    firsts = {statement.parent for statement in statements}
    assert firsts <= set(waiting)
    for span in waiting.values():
        if span.attributes["memory_layer.batch.size"] > 1 and span.span not in firsts:
            assert len(span.links) == 1
            assert set(span.links) <= firsts


async def test_what_is_embedded_has_a_trace_of_its_own(traced: Service, tracing: Tracing, receiver: Receiver) -> None:
    await store(traced)
    await traced.embed_all()
    spans = await ended(tracing, receiver)

    work = named(spans, "embed_messages")
    assert (work.parent, work.kind) == ("", "CONSUMER")
    assert work.attributes["memory_layer.batch.size"] == 1
    of_it = {span.name for span in spans if span.trace == work.trace and span.parent == work.span}
    assert {"claim", "embeddings", "complete_jobs"} <= of_it


async def test_to_look_for_work_and_find_none_makes_no_trace(
    traced: Service, tracing: Tracing, receiver: Receiver
) -> None:
    assert await traced.worker.work_once() == 0

    assert await ended(tracing, receiver) == []


async def test_nothing_of_the_content_is_in_a_span(traced: Service, tracing: Tracing, receiver: Receiver) -> None:
    await store(traced, conversation_id="conv-1")
    await traced.embed_all()
    await search(traced, "Python")
    await traced.client.get("/v1/conversations/conv-1", params={"tenant_id": "acme"}, headers={"X-API-Key": "user-key"})
    await traced.client.get("/v1/admin/tenants/acme/usage")
    await traced.client.get("/nothing/of/acme")
    await traced.client.post("/v1/messages", content=b'{"content": "Python')
    await ended(tracing, receiver)

    sent = b"".join(receiver.bodies)
    assert b"tenant_messages" in sent
    for secret in SECRETS:
        assert secret.encode() not in sent


async def test_the_lines_of_a_request_name_its_trace(
    log: StringIO, traced: Service, tracing: Tracing, receiver: Receiver
) -> None:
    await asked(traced, traceparent=SAMPLED)
    spans = await ended(tracing, receiver)

    found = {line["event"]: line for line in lines(log) if line["event"] in {"request", "searched"}}
    assert {line["trace_id"] for line in found.values()} == {TRACE}
    assert found["request"]["span_id"] == named(spans, "GET /v1/memory/search").span
    assert found["searched"]["span_id"] == named(spans, "Search.search").span


async def test_a_request_that_the_client_does_not_sample_is_not_recorded(
    log: StringIO, traced: Service, tracing: Tracing, receiver: Receiver
) -> None:
    await asked(traced, traceparent=UNSAMPLED)

    assert await ended(tracing, receiver) == []
    assert {line["trace_id"] for line in lines(log) if line["event"] == "request"} == {TRACE}


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01", "Grüße"])
async def test_a_traceparent_that_makes_no_sense_begins_a_new_trace(
    header: str, traced: Service, tracing: Tracing, receiver: Receiver
) -> None:
    await asked(traced, traceparent=header.encode())

    request = named(await ended(tracing, receiver), "GET /v1/memory/search")
    assert request.parent == ""
    assert request.trace != TRACE


async def test_a_search_whose_query_is_not_embedded_says_so(
    traced: Service, tracing: Tracing, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise EmbeddingUnavailableError("Away, and here is what you sent: Python")

    monkeypatch.setattr(LocalProvider, "embed_queries", away)
    await asked(traced)
    spans = await ended(tracing, receiver)

    failed = named(spans, "embeddings")
    assert failed.failed
    assert failed.attributes["error.type"] == "embedding_unavailable"
    assert b"Away" not in b"".join(receiver.bodies)


async def test_asking_whether_the_provider_works_is_told_from_embedding(
    traced: Service, tracing: Tracing, receiver: Receiver
) -> None:
    assert (await traced.client.get("/v1/admin/health")).status_code == 200
    spans = await ended(tracing, receiver)

    assert named(spans, "embeddings").attributes["memory_layer.purpose"] == "probe"


async def test_a_request_that_the_database_fails_is_marked(
    traced: Service, tracing: Tracing, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with traced.database.connection() as connection:
        await connection.execute("DROP TABLE messages CASCADE")
    answer = await traced.client.get("/v1/memory/search", params={"tenant_id": "acme", "query": "Python"})
    assert answer.status_code == 503
    spans = await ended(tracing, receiver)

    assert named(spans, "hold_columns").attributes["db.response.status_code"] == "42P01"
    request = named(spans, "GET /v1/memory/search")
    assert request.failed
    assert request.attributes["memory_layer.error_code"] == "database_unavailable"
    assert request.attributes["error.type"] == "503"


async def test_to_ask_for_a_rate_limit_is_part_of_the_trace(
    settings: Settings,
    provider: EmbeddingProvider,
    tracing: Tracing,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEMORY_TENANT_RATE_LIMIT", "200/minute")
    async with create_service(Settings.load(), provider) as service:
        await asked(service, traceparent=SAMPLED)
    spans = await ended(tracing, receiver)

    assert named(spans, "take_rate_limit").parent == named(spans, "GET /v1/memory/search").span


async def test_a_request_that_takes_too_long_marks_what_it_waited_for(
    settings: Settings,
    provider: EmbeddingProvider,
    tracing: Tracing,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEMORY_REQUEST_TIMEOUT_SECONDS", "0.2")

    async def for_ever(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(LocalProvider, "embed_queries", for_ever)
    async with create_service(Settings.load(), provider) as service:
        answer = await service.client.get("/v1/memory/search", params={"tenant_id": "acme", "query": "Python"})
        assert answer.status_code == 504
    spans = await ended(tracing, receiver)

    assert named(spans, "GET /v1/memory/search").attributes["memory_layer.error_code"] == "timeout"
    assert named(spans, "search").attributes["error.type"] == "CancelledError"


async def test_without_the_variables_there_are_neither_spans_nor_trace_ids(log: StringIO, service: Service) -> None:
    await asked(service, traceparent=SAMPLED)

    assert start_tracing("Ingress") == Tracing()
    assert [line.get("trace_id") for line in lines(log) if line["event"] == "searched"] == [None]
