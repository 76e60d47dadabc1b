"""A reranker over real HTTP."""

import asyncio
import socket
import traceback
from collections.abc import Iterator

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from deployments.search.reranking.protocol import (
    RerankError,
    RerankInvalidError,
    RerankRejectedError,
    RerankUnavailableError,
)
from deployments.search.reranking.stage import relevances_in_time
from deployments.settings import RerankStyle
from deployments.tracing.exporting import start_tracing
from deployments.tracing.spans import root
from tests.otlp_receiver import Receiver, receiving
from tests.unit.embedding.stand_in import Scripted

from .conftest import KEY, MakeEndpoint, rerank_settings
from .stand_in import RerankStandIn

DOCUMENTS = ["about coffee", "about tea", "about rain"]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A collector that the environment names."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        yield receiver


@pytest.mark.parametrize("style", list(RerankStyle))
async def test_both_styles_score_documents_in_their_order(
    make_endpoint: MakeEndpoint, stand_in: RerankStandIn, style: RerankStyle
) -> None:
    stand_in.scores = {"tea": 0.9, "coffee": 0.4}

    assert await make_endpoint(style=style).rerank("tea?", DOCUMENTS) == [0.4, 0.9, 0.01]
    (request,) = stand_in.received
    assert (request.path, request.body["query"]) == ("/v2/rerank", "tea?")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"


async def test_without_a_key_none_is_sent(make_endpoint: MakeEndpoint, stand_in: RerankStandIn) -> None:
    await make_endpoint(api_key=None).rerank("tea?", DOCUMENTS)

    assert "authorization" not in stand_in.received[0].headers


@pytest.mark.parametrize("status", [302, 401, 402, 403, 404, 408, 424, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_unavailable_and_asked_once(
    make_endpoint: MakeEndpoint, stand_in: RerankStandIn, status: int
) -> None:
    stand_in.always = Scripted(status, {"message": "no"}, {"Location": "/", "Retry-After": "7"})

    with pytest.raises(RerankUnavailableError, match=str(status)):
        await make_endpoint().rerank("tea?", DOCUMENTS)
    assert len(stand_in.received) == 1


async def test_the_wait_that_is_asked_for_is_told(make_endpoint: MakeEndpoint, stand_in: RerankStandIn) -> None:
    stand_in.always = Scripted(429, {"message": "slow down"}, {"Retry-After": "7"})

    with pytest.raises(RerankUnavailableError) as raised:
        await make_endpoint().rerank("tea?", DOCUMENTS)
    assert raised.value.retry_after == 7.0


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_is_about_the_request_is_rejected_with_a_reason_apart(
    make_endpoint: MakeEndpoint, stand_in: RerankStandIn, status: int
) -> None:
    stand_in.always = Scripted(status, {"error": f"batch size 3 > 2, key {KEY}"})

    with pytest.raises(RerankRejectedError, match=str(status)) as raised:
        await make_endpoint().rerank("tea?", DOCUMENTS)
    assert "batch size" not in raised.value.message
    assert raised.value.details is not None
    assert raised.value.details["reason"] == '{"error": "batch size 3 > 2, key ***"}'


@pytest.mark.parametrize(
    "body",
    ["<html>", {"results": []}, {"results": [{"index": 0, "relevance_score": float("nan")}] * 3}, [{"index": 0}]],
)
async def test_a_wrong_answer_is_invalid(make_endpoint: MakeEndpoint, stand_in: RerankStandIn, body: object) -> None:
    stand_in.always = Scripted(200, body)

    with pytest.raises(RerankInvalidError):
        await make_endpoint().rerank("tea?", DOCUMENTS)


async def test_nobody_there_is_unavailable(make_endpoint: MakeEndpoint) -> None:
    with socket.socket() as bound:
        # Bound and not listening: connections are refused, and nobody else takes the port meanwhile.
        bound.bind(("127.0.0.1", 0))
        endpoint = make_endpoint(f"http://127.0.0.1:{bound.getsockname()[1]}/rerank")
        with pytest.raises(RerankUnavailableError, match="cannot be reached"):
            await endpoint.rerank("tea?", DOCUMENTS)


async def test_a_broken_connection_is_unavailable(make_endpoint: MakeEndpoint, stand_in: RerankStandIn) -> None:
    stand_in.always = Scripted(dropped=True)

    with pytest.raises(RerankUnavailableError, match="cannot be reached"):
        await make_endpoint().rerank("tea?", DOCUMENTS)


async def test_one_that_does_not_answer_is_left_when_its_time_is_over(
    make_endpoint: MakeEndpoint, stand_in: RerankStandIn
) -> None:
    """The library's limit is of each read, so the whole is bounded by another."""
    stand_in.always = Scripted(silent=True)

    with pytest.raises(RerankUnavailableError, match="in time"):
        await make_endpoint(timeout_seconds=0.05).rerank("tea?", DOCUMENTS)
    with pytest.raises(RerankUnavailableError, match="in time"):
        await relevances_in_time(make_endpoint(), rerank_settings(timeout_seconds=0.05), "tea?", DOCUMENTS)


async def test_what_is_sent_is_cut(make_endpoint: MakeEndpoint, stand_in: RerankStandIn) -> None:
    settings = rerank_settings(max_characters=100)

    await relevances_in_time(make_endpoint(), settings, "q" * 1_000, ["short", "d" * 101])

    body = stand_in.received[0].body
    assert (body["query"], body["documents"]) == ("q" * 100, ["short", "d" * 100])


@pytest.mark.parametrize(
    "scripted", [Scripted(401, {"message": KEY}), Scripted(422, {"message": KEY}), Scripted(dropped=True)]
)
async def test_no_error_holds_the_key(make_endpoint: MakeEndpoint, stand_in: RerankStandIn, scripted: Scripted) -> None:
    stand_in.always = scripted

    with pytest.raises(RerankError) as raised:
        await make_endpoint().rerank("tea?", DOCUMENTS)
    assert KEY not in "".join(traceback.format_exception(raised.value)) + repr(raised.value.args)


async def test_a_connection_is_used_again(make_endpoint: MakeEndpoint, stand_in: RerankStandIn) -> None:
    endpoint = make_endpoint()

    answers = [await endpoint.rerank("tea?", DOCUMENTS) for _ in range(2)]
    together = await asyncio.gather(*(endpoint.rerank("tea?", DOCUMENTS) for _ in range(5)))

    assert answers + together == [[0.01] * 3] * 7


async def test_a_request_is_a_span_that_goes_on_at_the_endpoint(
    make_endpoint: MakeEndpoint, stand_in: RerankStandIn, receiver: Receiver
) -> None:
    stand_in.script += [Scripted(), Scripted(500, {})]
    tracing = start_tracing("Search")
    try:
        with root("search", Context(), SpanKind.SERVER, {}):
            endpoint = make_endpoint()
            await endpoint.rerank("secret tea", DOCUMENTS)
            with pytest.raises(RerankUnavailableError):
                await endpoint.rerank("secret tea", DOCUMENTS)
    finally:
        await tracing.stop()

    spans = [span for span in receiver.spans if span.name == "POST"]
    assert [span.attributes["http.response.status_code"] for span in spans] == [200, 500]
    assert [span.failed for span in spans] == [False, True]
    sent = [each.headers["traceparent"].split("-")[2] for each in stand_in.received]
    assert sent == [span.span for span in spans]
    assert b"secret tea" not in b"".join(receiver.bodies)
