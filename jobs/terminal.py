"""Command-line helpers of the jobs: argument types, and one-line errors with an exit status."""

import argparse
import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from pydantic import TypeAdapter, ValidationError

from deployments.errors import ConfigurationError, InvalidRequestError, MemoryLayerError
from deployments.schemas.messages import StoredIdentifier
from deployments.storage.postgres.unreachable import operator_message
from deployments.validation_faults import first_fault

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130

_identifier = TypeAdapter(StoredIdentifier)


def complain(text: str, status: int) -> int:
    """Write an error as one line. Return the status."""
    sys.stderr.write(f"error: {text}\n")
    return status


P = ParamSpec("P")


def exit_statuses(interrupted: str, *misuse: type[MemoryLayerError]) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Make a job's `main` turn our errors into one line and an exit status.

    `MISUSED` for an invalid setting or request, and for `misuse`; `FAILED` for any other error; `INTERRUPTED` for
    Ctrl-C, with `interrupted` as the message about what was done.
    """
    misused: tuple[type[MemoryLayerError], ...] = (ConfigurationError, InvalidRequestError, *misuse)

    def ending(main: Callable[P, int]) -> Callable[P, int]:
        @functools.wraps(main)
        def ended(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                return main(*args, **kwargs)
            except misused as error:
                return complain(error.message, MISUSED)
            except MemoryLayerError as error:
                return complain(operator_message(error), FAILED)
            except KeyboardInterrupt:
                return complain(f"interrupted: {interrupted}", INTERRUPTED)

        return ended

    return ending


def identifier(text: str) -> str:
    """Return the name of a tenant or a conversation. Raises argparse's error for an invalid one."""
    try:
        return _identifier.validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(first_fault(error)) from None


def natural(text: str) -> int:
    """Return a whole number from 0 on. Raises argparse's error for anything else."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)
