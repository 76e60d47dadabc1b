"""A job's command line: the names that it takes, and how it says that it failed, in one line and an exit status."""

import argparse
import sys

from pydantic import TypeAdapter, ValidationError

from deployments.schemas import StoredIdentifier

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130

_identifier = TypeAdapter(StoredIdentifier)


def complain(text: str, status: int) -> int:
    """Write one line of error; returns the status."""
    sys.stderr.write(f"error: {text}\n")
    return status


def identifier(text: str) -> str:
    """Return the name of a tenant or a conversation. Raises argparse's error for what is none."""
    try:
        return _identifier.validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(error.errors()[0]["msg"]) from None
