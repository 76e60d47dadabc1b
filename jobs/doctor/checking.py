"""Runs a check with a timeout, and turns its exceptions into findings."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from deployments.errors import MemoryLayerError
from jobs.doctor.findings import Finding, problem, warning

CHECK_SECONDS = 10.0
REPORT = "Report it: this is a fault of ours."

Look = Callable[[], Awaitable[list[Finding]]]


async def made(check: str, look: Look, seconds: float = CHECK_SECONDS) -> list[Finding]:
    """Return a check's findings. A check that raises yields a finding and does not stop the others."""
    try:
        async with asyncio.timeout(seconds):
            return await look()
    except TimeoutError:
        return [problem(check, f"It did not answer within {seconds:.0f} s.", "See whether it hangs, or is overloaded.")]
    except MemoryLayerError as error:
        return [problem(check, error.message, "See docs/doctor.md.")]
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        return [warning(check, f"The check itself broke: {place_of(error)}.", REPORT)]


def place_of(error: Exception) -> str:
    """Return the type and the place of an error, without its message, which may contain a secret."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"
