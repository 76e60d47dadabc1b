"""How spans leave this process: by OTLP over HTTP, in the background."""

import asyncio
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points, version
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import structlog

from deployments.errors import ConfigurationError
from deployments.tracing.spans import use_tracer

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

SERVICE_NAME = "ai-memory-layer"
PROTOCOL = "http/protobuf"
# Its loggers have names below this one.
LIBRARY = "opentelemetry"
# A replica that ends does not wait longer for its last spans: Serve kills it after ten seconds.
FLUSH_SECONDS = 3.0
# A collector that is away is said so often, and not with each batch.
REPEAT_SECONDS = 60.0

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Tracing:
    """What exports the spans of this process; nothing while tracing is off."""

    provider: "TracerProvider | None" = None
    exporter: "OTLPSpanExporter | None" = None

    async def stop(self) -> None:
        """Export what is left, for some seconds at most, and make no more spans."""
        use_tracer(None)
        if self.provider is None or self.exporter is None:
            return
        # A daemon: the process may end while the collector does not answer.
        closing = threading.Thread(target=self.provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, FLUSH_SECONDS)
        if closing.is_alive():
            # It would complain of each thing that it had left to do.
            logging.getLogger(LIBRARY).handlers = [logging.NullHandler()]
            self.exporter.shutdown()  # type: ignore[no-untyped-call]


def wants_tracing(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for traces. Raises `ConfigurationError` for what cannot be done here."""
    given = {name: value.strip() for name, value in environment.items() if name.startswith("OTEL_") and value.strip()}
    _check_propagators(given)
    base, own = given.get("OTEL_EXPORTER_OTLP_ENDPOINT"), given.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    exporter = given.get("OTEL_TRACES_EXPORTER", "otlp" if base or own else "none").lower()
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return False
    if exporter != "otlp":
        raise ConfigurationError(f"OTEL_TRACES_EXPORTER: {exporter} is not known here: otlp or none")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = given.get(name, PROTOCOL)
        if protocol != PROTOCOL:
            raise ConfigurationError(f"{name}: {protocol} is not spoken here: {PROTOCOL} is")
        if name in given:
            break
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        if name in given and not _is_url(given[name]):
            raise ConfigurationError(f"{name}: must be a URL such as http://localhost:4318")
    return True


def start_tracing(deployment: str) -> Tracing:
    """Export spans from now on, if the environment asks for it. Raises `ConfigurationError`.

    `deployment`: what this process is a replica of. All else is as the SDK reads it from `OTEL_*`.
    """
    if not wants_tracing(os.environ):
        return Tracing()
    # Imported where it is needed: it takes 0.2 s.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    _limit_the_librarys_words()
    exporter = OTLPSpanExporter()
    # Its own hook at exit waits for a collector that is away for half a minute.
    provider = TracerProvider(resource=_resource(deployment), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    use_tracer(provider.get_tracer(SERVICE_NAME, version(SERVICE_NAME)))
    logger.info("tracing_started")
    return Tracing(provider, exporter)


def _check_propagators(given: Mapping[str, str]) -> None:
    """Whether on or off: OpenTelemetry's API, which FastAPI imports, breaks on a name that it does not find."""
    for name in filter(None, map(str.strip, given.get("OTEL_PROPAGATORS", "").split(","))):
        if name != "none" and not entry_points(group="opentelemetry_propagator", name=name):
            raise ConfigurationError(f"OTEL_PROPAGATORS: {name} is not installed; tracecontext and baggage are")


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _resource(deployment: str) -> "Resource":
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415

    own: dict[str, str | int] = {
        "service.name": SERVICE_NAME,
        "service.version": version(SERVICE_NAME),
        "service.instance.id": str(uuid4()),
        # As Ray names the replica in front of its log lines.
        "process.pid": os.getpid(),
        "memory_layer.deployment": deployment,
    }
    # What the environment says goes over what we say.
    return Resource.create(own).merge(OTELResourceDetector().detect())


class _LimitedWords(logging.Handler):
    """Says what the library logs as a line of ours, each of its messages once in a while."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = monotonic()
        if now < self._said.get(record.msg, -REPEAT_SECONDS) + REPEAT_SECONDS:
            return
        self._said[record.msg] = now
        logger.warning("tracing_trouble", reason=record.getMessage())


def _limit_the_librarys_words() -> None:
    words = logging.getLogger(LIBRARY)
    words.handlers = [_LimitedWords()]
    words.propagate = False
