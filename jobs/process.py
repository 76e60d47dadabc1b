"""A job as a process: logging, signals and exit status."""

import logging
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import structlog


def run(main: Callable[[], int]) -> NoReturn:
    """Run a job's `main` as this process, and exit with the status that it returns."""
    log_to_stderr()
    stop_politely()
    sys.exit(main())


def stop_politely() -> None:
    """Make SIGTERM, which `ray job stop` sends, act like Ctrl-C, so that it cleans up too."""
    # Ray blocks SIGINT in the processes of its jobs, and shells ignore it in background processes.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def log_to_stderr() -> None:
    """Log warnings and errors as plain lines."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(
                colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
