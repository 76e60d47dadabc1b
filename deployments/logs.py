"""Log lines: JSON in production, readable in development, each with the id of the request that caused it."""

import logging
import sys

import orjson
import structlog

from deployments.settings import Environment, RuntimeSettings


def configure_logging(settings: RuntimeSettings, deployment: str) -> None:
    """Set structlog up for this process. Every line names the deployment; the request id comes from contextvars."""
    production = settings.environment is Environment.PRODUCTION
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
        if production
        else [
            structlog.dev.ConsoleRenderer(
                colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            lambda _, __, event: {"deployment": deployment, **event},
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        # Serve puts its own logger in the place of sys.stdout; what is printed there has its level, not ours.
        logger_factory=structlog.WriteLoggerFactory(sys.__stdout__),
        cache_logger_on_first_use=True,
    )


def _to_json(event: object, **_: object) -> str:
    return orjson.dumps(event, default=str).decode()
