"""How a job says that it failed: one line, and the status that it exits with."""

import sys

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130


def complain(text: str, status: int) -> int:
    """Write one line of error; returns the status."""
    sys.stderr.write(f"error: {text}\n")
    return status
