"""Requests to embedding servers, in a trace."""

from collections.abc import Callable, Iterator

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.errors import EmbeddingUnavailableError
from deployments.tracing.exporting import start_tracing
from deployments.tracing.spans import root
from tests.otlp_receiver import Received, Receiver, receiving

from .stand_in import Scripted, StandIn

Make = Callable[..., EmbeddingProvider]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A collector that the environment names."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        yield receiver


async def requests_of(make: Callable[[], EmbeddingProvider], receiver: Receiver) -> list[Received]:
    """The spans of the requests that embedding one text takes, first to last."""
    tracing = start_tracing("Embedding")
    try:
        with root("embed_messages", Context(), SpanKind.CONSUMER, {}):
            await make().embed_documents(["secret tea"])
    finally:
        await tracing.stop()
    assert b"secret tea" not in b"".join(receiver.bodies)
    return [span for span in receiver.spans if span.name == "POST"]


@pytest.mark.parametrize("name", ["openai_compatible", "google_gemini"])
async def test_each_request_is_a_span(name: str, make_provider: Make, stand_in: StandIn, receiver: Receiver) -> None:
    stand_in.dimensions = 1536 if name == "openai_compatible" else 768
    (request,) = await requests_of(lambda: make_provider(name), receiver)

    assert request.kind == "CLIENT"
    assert request.attributes["http.request.method"] == "POST"
    assert request.attributes["server.address"] == "127.0.0.1"
    assert not request.failed


async def test_each_attempt_goes_on_under_its_own_span(
    make_provider: Make, stand_in: StandIn, receiver: Receiver
) -> None:
    stand_in.dimensions = 1536
    stand_in.script.append(Scripted(503, {}, {"retry-after-ms": "1"}))
    requests = await requests_of(lambda: make_provider("openai_compatible"), receiver)

    assert [request.attributes["http.response.status_code"] for request in requests] == [503, 200]
    assert [request.failed for request in requests] == [True, False]
    sent = [each.headers["traceparent"].split("-")[1:3] for each in stand_in.received]
    assert sent == [[request.trace, request.span] for request in requests]


async def test_a_request_without_an_answer_has_failed(
    make_provider: Make, stand_in: StandIn, receiver: Receiver
) -> None:
    stand_in.always = Scripted(dropped=True)
    with pytest.raises(EmbeddingUnavailableError):
        await requests_of(lambda: make_provider("openai_compatible", MEMORY_EMBEDDING_TIMEOUT_SECONDS="1"), receiver)

    (first, *_) = [span for span in receiver.spans if span.name == "POST"]
    assert first.failed
    assert first.attributes["error.type"] == "RemoteProtocolError"


async def test_without_tracing_no_traceparent_is_sent(make_provider: Make, stand_in: StandIn) -> None:
    stand_in.dimensions = 1536
    await make_provider("openai_compatible").embed_documents(["tea"])

    assert "traceparent" not in stand_in.received[0].headers
