"""Export of this process's spans: by OTLP over HTTP, in the background."""

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
# The longest quotation, in characters, of a collector's refusal.
LONGEST_QUOTE = 100
# The longest wait of an ending replica for its last spans: Serve kills it after ten seconds.
FLUSH_SECONDS = 3.0
# An unreachable collector is logged once in this time, not with each batch.
REPEAT_SECONDS = 60.0

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Tracing:
    """The span exporter of this process, or nothing while tracing is off."""

    provider: "TracerProvider | None" = None
    exporter: "OTLPSpanExporter | None" = None

    async def stop(self) -> None:
        """Export the remaining spans, for at most `FLUSH_SECONDS`, and stop tracing."""
        use_tracer(None)
        if self.provider is None or self.exporter is None:
            return
        # A daemon thread: the process may exit while the collector does not answer.
        closing = threading.Thread(target=self.provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, FLUSH_SECONDS)
        if closing.is_alive():
            # Silence the library: it would log an error for each batch that it has left.
            logging.getLogger(LIBRARY).handlers = [logging.NullHandler()]
            self.exporter.shutdown()  # type: ignore[no-untyped-call]


def start_tracing(deployment: str) -> Tracing:
    """Start to export spans, if the environment asks for it. Raises `ConfigurationError`.

    `deployment`: the deployment of this replica. The SDK reads everything else from `OTEL_*`.
    """
    if not wants_tracing(os.environ):
        return Tracing()
    # Imported lazily: it takes 0.2 s.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    _throttle_library_logs()
    exporter = OTLPSpanExporter()
    # The SDK's exit hook waits half a minute for an unreachable collector.
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
        # Ray puts the same number in front of the replica's log lines.
        "process.pid": os.getpid(),
        "memory_layer.deployment": deployment,
    }
    # Attributes from the environment override ours.
    return Resource.create(own).merge(OTELResourceDetector().detect())


class _ThrottledHandler(logging.Handler):
    """Logs the library's messages as our own lines, each at most once in `REPEAT_SECONDS`, with secrets removed."""

    def __init__(self, secrets: Collection[str]) -> None:
        super().__init__(logging.WARNING)
        # Longest first: a secret may contain another one.
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._logged_at: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = monotonic()
        if now < self._logged_at.get(record.msg, -REPEAT_SECONDS) + REPEAT_SECONDS:
            return
        self._logged_at[record.msg] = now
        logger.warning("tracing_trouble", reason=self._reason(record))

    def _reason(self, record: logging.LogRecord) -> str:
        template = self._masked(str(record.msg))
        if not record.args or not isinstance(record.args, tuple):
            return template
        try:
            return template % tuple(map(self._loggable, record.args))
        except (TypeError, ValueError):
            return template

    def _loggable(self, argument: object) -> object:
        """Return an argument without secrets: of an error only the class, since its text may quote a header or URL."""
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
    """Return the root cause that the libraries have wrapped, such as a refused connection or an unknown host name."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def _throttle_library_logs() -> None:
    library = logging.getLogger(LIBRARY)
    library.handlers = [_ThrottledHandler(header_values(os.environ))]
    library.propagate = False
