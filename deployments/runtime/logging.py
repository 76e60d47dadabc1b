"""Log lines: JSON in production, readable in development, each with the request and the trace that caused it."""

import logging
import sys
import traceback
from typing import TextIO

import orjson
import structlog
from structlog.typing import ExcInfo

from deployments.settings import Environment, RuntimeSettings
from deployments.tracing.spans import trace_ids


def configure_logging(settings: RuntimeSettings, deployment: str) -> None:
    """Configure structlog for this process. Every line names the deployment; the request id comes from contextvars.

    If tracing is on, the lines of a request name its trace too.
    """
    production = settings.environment is Environment.PRODUCTION
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.ExceptionRenderer(_to_text), structlog.processors.JSONRenderer(serializer=_to_json)]
        if production
        else [structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, exception_formatter=_write_traceback)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            lambda _, __, event: {"deployment": deployment, **trace_ids(), **event},
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        # Serve replaces sys.stdout by its own logger, which logs with its own level and not ours.
        logger_factory=structlog.WriteLoggerFactory(sys.__stdout__),
        cache_logger_on_first_use=True,
    )


def _to_text(exc_info: ExcInfo) -> str:
    """Format a traceback without `print`, unlike structlog's formatters: Serve's `print` garbles output to a file."""
    return "".join(traceback.format_exception(*exc_info)).rstrip()


def _write_traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    stream.write(f"\n{_to_text(exc_info)}")


def _to_json(event: object, **_: object) -> str:
    return orjson.dumps(event, default=str).decode()
