"""How spans leave this process: by OTLP over HTTP, in the background."""

import asyncio
import logging
import os
import threading
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from deployments.tracing.spans import use_tracer
from deployments.tracing.variables import header_values, wants_tracing

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

SERVICE_NAME = "ai-memory-layer"
# Its loggers have names below this one.
LIBRARY = "opentelemetry"
# Of what a collector that refuses says.
LONGEST_QUOTE = 100
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
    """Says what the library logs as a line of ours, each of its messages once in a while, and no key in it."""

    def __init__(self, secrets: Collection[str]) -> None:
        super().__init__(logging.WARNING)
        # What holds another goes first.
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._said: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = monotonic()
        if now < self._said.get(record.msg, -REPEAT_SECONDS) + REPEAT_SECONDS:
            return
        self._said[record.msg] = now
        logger.warning("tracing_trouble", reason=self._reason(record))

    def _reason(self, record: logging.LogRecord) -> str:
        template = self._masked(str(record.msg))
        if not record.args or not isinstance(record.args, tuple):
            return template
        try:
            return template % tuple(map(self._told, record.args))
        except (TypeError, ValueError):
            return template

    def _told(self, argument: object) -> object:
        """Of an error its kind alone: what it says may quote a header or the address."""
        if isinstance(argument, int | float):
            return argument
        if isinstance(argument, BaseException):
            return type(_first_cause(argument)).__name__
        return self._masked(str(argument))[:LONGEST_QUOTE]

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _first_cause(error: BaseException) -> BaseException:
    """What the libraries between have wrapped: a refused connection, a name that nobody knows."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def _limit_the_librarys_words() -> None:
    words = logging.getLogger(LIBRARY)
    words.handlers = [_LimitedWords(header_values(os.environ))]
    words.propagate = False
