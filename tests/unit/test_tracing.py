"""When traces are made, how they leave, and what a collector that is away costs."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, SpanContext, SpanKind, get_current_span
from structlog.testing import capture_logs

from deployments.errors import ConfigurationError, OverloadedError
from deployments.runtime.micro_batcher import MicroBatcher
from deployments.tracing.exporting import FLUSH_SECONDS, LONGEST_QUOTE, Tracing, start_tracing
from deployments.tracing.spans import current_trace, each_served, is_tracing, root, served, shared, span
from deployments.tracing.variables import BATCH, QUEUE, wants_tracing
from tests.otlp_receiver import Receiver, receiving

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
URL = "http://127.0.0.1:4318"
# Nobody listens on it, and nobody can.
DEAD_URL = "http://127.0.0.1:1"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A collector that the environment names."""
    with receiving() as receiver:
        monkeypatch.setenv(ENDPOINT, receiver.endpoint)
        yield receiver


@pytest.fixture
async def traced(receiver: Receiver) -> AsyncIterator[tuple[Tracing, Receiver]]:
    """Tracing that is on, and where its spans arrive."""
    tracing = start_tracing("Search")
    yield tracing, receiver
    await tracing.stop()


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: URL}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{URL}/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": URL}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", ENDPOINT: URL}, False),
        ({"OTEL_SDK_DISABLED": "true", ENDPOINT: URL}, False),
        ({"OTEL_SDK_DISABLED": "false", ENDPOINT: URL}, True),
        ({ENDPOINT: URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        (
            {
                ENDPOINT: URL,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            True,
        ),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
        ({ENDPOINT: URL, "OTEL_PROPAGATORS": "tracecontext, baggage"}, True),
        ({ENDPOINT: URL, "OTEL_PROPAGATORS": "none"}, True),
        ({ENDPOINT: URL, "OTEL_PROPAGATORS": "NONE"}, True),
        ({ENDPOINT: URL, QUEUE: "512"}, True),
        ({ENDPOINT: URL, QUEUE: "100", BATCH: "100"}, True),
        ({ENDPOINT: URL, "OTEL_TRACES_SAMPLER": "traceidratio"}, True),
        ({ENDPOINT: URL, "OTEL_TRACES_SAMPLER_ARG": "0.05", "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5"}, True),
        ({ENDPOINT: URL, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "0", "OTEL_BSP_SCHEDULE_DELAY": ""}, True),
        ({"OTEL_BSP_SCHEDULE_DELAY": "abc", "OTEL_EXPORTER_OTLP_HEADERS": "no sign"}, False),
    ],
)
def test_the_standard_variables_turn_it_on(environment: dict[str, str], wanted: bool) -> None:
    assert wants_tracing(environment) is wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318 "),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:99999"),
        ("OTEL_PROPAGATORS", "tracecontext,b3"),
        ("OTEL_PROPAGATORS", "tracecontext,"),
        ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "nobody"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER", " always_off"),
        ("OTEL_TRACES_SAMPLER_ARG", "abc"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "soon"),
        ("OTEL_BSP_SCHEDULE_DELAY", "abc"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1" + "0" * 30),
        ("OTEL_BSP_EXPORT_TIMEOUT", "1.5"),
        (QUEUE, "-1"),
        (QUEUE, "100"),
        (BATCH, "4096"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "x"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-1"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "x"),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "x"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "x"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "x"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "x"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "x"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        wants_tracing({ENDPOINT: URL, name: value})

    assert refused.value.message.startswith(f"{name}: ")
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"])
@pytest.mark.parametrize(
    "value",
    [
        "s3cret",
        "api-key s3cret",
        "api-key=s3cret,s3cret",
        "api key=s3cret",
        'api-key="s3cret"',
        "api-key=s3cret;",
        "api-key=s3cret\\",
        "api-key=s3cret%0A",
        "api-key=s3cret%E2%82%AC",
        "api%20key=s3cret",
        "=s3cret",
    ],
)
def test_headers_that_cannot_be_sent_are_refused_without_a_word_of_them(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        wants_tracing({ENDPOINT: URL, name: value})

    assert refused.value.message.startswith(f"{name}: ")
    assert "s3cret" not in str(refused.value)


def test_off_it_loads_no_sdk_and_starts_no_thread() -> None:
    program = (
        "import sys, threading; from deployments.tracing.exporting import start_tracing; start_tracing('Search');"
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))],"
        "threading.active_count())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.split() == ["[]", "1"]


async def test_off_there_are_no_spans() -> None:
    assert not is_tracing()
    with root("one", Context(), SpanKind.SERVER, {}) as first, span("two") as second:
        assert first is second is INVALID_SPAN
        assert current_trace() is None


async def test_what_the_environment_says_of_the_service_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "memory-of-acme")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    headers = {"x-tenant": "ours", "authorization": "Bearer a.b=", "x-path": "o/c,d"}
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=ours, Authorization=Bearer a.b=,x-path=o%2Fc%2Cd,")
    with receiving() as receiver:
        monkeypatch.setenv(ENDPOINT, receiver.endpoint)
        tracing = start_tracing("Search")
        with root("one", Context(), SpanKind.SERVER, {}):
            pass
        await tracing.stop()

    (one,) = receiver.spans
    assert one.resource["service.name"] == "memory-of-acme"
    assert one.resource["deployment.environment.name"] == "staging"
    assert one.deployment == "Search"
    assert headers.items() <= receiver.headers[0].items()


async def test_the_last_spans_are_exported_when_a_replica_stops(traced: tuple[Tracing, Receiver]) -> None:
    tracing, receiver = traced
    for number in range(1000):
        with root(f"span {number}", Context(), SpanKind.SERVER, {}):
            pass
    await tracing.stop()

    assert len(receiver.spans) == 1000
    assert not is_tracing()


async def test_the_sampler_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    with receiving() as receiver:
        monkeypatch.setenv(ENDPOINT, receiver.endpoint)
        tracing = start_tracing("Search")
        with root("not recorded", Context(), SpanKind.SERVER, {}) as unsampled, span("nor its parts"):
            assert unsampled.get_span_context().is_valid
        await tracing.stop()

    assert receiver.spans == []


async def test_a_collector_that_is_away_holds_nobody_up_and_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, f"{DEAD_URL}/?key=s3cret")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    with capture_logs() as lines:
        tracing = start_tracing("Search")
        taken: list[float] = []
        for _ in range(20):
            for _ in range(50):
                began = time.perf_counter()
                with root("lost", Context(), SpanKind.SERVER, {}):
                    pass
                taken.append(time.perf_counter() - began)
            await asyncio.sleep(0.1)
        began = time.perf_counter()
        await tracing.stop()
        stopping = time.perf_counter() - began

    said = [line["reason"] for line in lines if line["event"] == "tracing_trouble"]
    assert any("ConnectionRefusedError" in reason for reason in said)
    assert "s3cret" not in repr(said)
    assert len(said) == len({reason[:20] for reason in said})
    # Far from the second that an attempt to export takes, which each tenth span would wait for, and from the half
    # minute of the library's own end. A busy machine may hold up some.
    assert sorted(taken)[int(0.95 * len(taken))] < 0.5
    assert stopping < FLUSH_SECONDS + 5


async def test_what_the_library_says_goes_nowhere_but_into_our_lines(traced: tuple[Tracing, Receiver]) -> None:
    with capture_logs() as lines:
        for _ in range(5):
            logging.getLogger("opentelemetry.sdk.trace").warning("Queue full, dropping %s.", "spans")

    assert [line["reason"] for line in lines] == ["Queue full, dropping spans."]


async def test_a_key_is_not_in_what_the_library_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, DEAD_URL)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20s3cret%2Fkey,x-tenant=a")
    with capture_logs() as lines:
        tracing = start_tracing("Search")
        logging.getLogger("opentelemetry.util.re").warning(
            "Header format invalid: %s", "Authorization Bearer s3cret%2Fkey"
        )
        export = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        export.error("Failed, code: %s, reason: %s", 401, "s3cret/key is not known" + "." * 1000)
        export.error("Failed, reason: %s", ValueError("Invalid header value: 's3cret\\/key'"))
        export.error("Failed for %s", "s3cret%2Fkey")
        export.error("s3cret/key was refused")
        export.error("Failed for %(key)s", {"key": "s3cret/key"})
        export.error("Failed %d times for %s", "many", "s3cret/key")
        await tracing.stop()

    said = [line["reason"] for line in lines if line["event"] == "tracing_trouble"]
    assert "s3cret" not in repr(said)
    assert said[0] == "Header format invalid: Authorization *** ***"
    assert said[1].startswith("Failed, code: 401, reason: *** is not known...")
    assert max(map(len, said)) < LONGEST_QUOTE + 50
    assert said[2:5] == ["Failed, reason: ValueError", "Failed for ***", "*** was refused"]
    assert len(said) == 7


async def test_a_collector_that_refuses_is_quoted_in_short_and_without_the_key(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret%2Fkey")
    receiver.refusal = (401, "Who is s3cret/key?" + "." * 1000)
    with capture_logs() as lines:
        tracing = start_tracing("Search")
        with root("refused", Context(), SpanKind.SERVER, {}):
            pass
        await tracing.stop()

    (reason,) = [line["reason"] for line in lines if line["event"] == "tracing_trouble"]
    assert receiver.headers[0]["api-key"] == "s3cret/key"
    assert "401, reason: Who is ***?..." in reason
    assert len(reason) < LONGEST_QUOTE + 100


async def test_what_crosses_goes_on_in_its_own_trace(traced: tuple[Tracing, Receiver]) -> None:
    tracing, receiver = traced
    with root("first", Context(), SpanKind.SERVER, {}):
        first = current_trace()
    with root("second", Context(), SpanKind.SERVER, {}):
        second = current_trace()
    with each_served("work", [first, None, second]) as spans, shared(spans), span("done once"):
        pass
    with served("later", second):
        pass
    await tracing.stop()

    assert first is not None
    assert second is not None
    by_trace = {f"{each.trace_id:032x}": receiver.of(f"{each.trace_id:032x}") for each in (first, second)}
    ours, theirs = by_trace.values()
    assert [each.name for each in ours] == ["first", "done once", "work"]
    assert [each.name for each in theirs] == ["second", "work", "later"]
    assert theirs[1].links == (ours[2].span,)


async def test_an_error_marks_its_span_and_says_nothing_else(traced: tuple[Tracing, Receiver]) -> None:
    tracing, receiver = traced
    with pytest.raises(OverloadedError), root("failing", Context(), SpanKind.SERVER, {}):
        raise OverloadedError("with a secret in it")
    await tracing.stop()

    (failed,) = receiver.spans
    assert failed.failed
    assert failed.attributes == {"error.type": "overloaded"}
    assert b"secret" not in receiver.bodies[0]


async def test_a_batch_is_in_the_trace_of_its_first_item_without_its_log_context(
    traced: tuple[Tracing, Receiver],
) -> None:
    contexts: list[tuple[SpanContext, dict[str, Any]]] = []

    async def send(items: Any) -> Any:
        contexts.append((get_current_span().get_span_context(), structlog.contextvars.get_contextvars()))
        return items

    batches: MicroBatcher[int, int] = MicroBatcher(send, max_batch=10, slots=1, max_waiting=10)
    with (
        root("waiting", Context(), SpanKind.SERVER, {}) as waiting,
        structlog.contextvars.bound_contextvars(request_id="r-1"),
    ):
        await batches.submit(1)
    await batches.submit(2)

    assert contexts == [(waiting.get_span_context(), {}), (INVALID_SPAN.get_span_context(), {})]
