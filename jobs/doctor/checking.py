"""How a check is made: within its time, and whatever it meets."""

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
    """What a check finds. One that breaks is a finding too, and stops none of the others."""
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
    """What it is and where, and not what it says: that may hold a secret."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"
