"""The service keeps to its own OpenAPI document whatever it is sent: no 5xx, no answer outside of the schema."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn

from tests.integration.calls import store
from tests.integration.service import Service

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
# The longest request line that the application itself documents; HAProxy takes less, which README.md says.
REQUEST_LINE_BYTES = 2 * 1024**2
BUDGET_SECONDS = 40
MOST_SECONDS = 120


@pytest.fixture
async def address(service: Service) -> AsyncIterator[str]:
    """Where the service listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            service.app, http="h11", h11_max_incomplete_event_size=REQUEST_LINE_BYTES, log_config=None, lifespan="off"
        )
        server = uvicorn.Server(config)
        # What connects before it accepts waits in the socket's backlog.
        serving = asyncio.create_task(server.serve([listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


async def test_schemathesis_finds_nothing(service: Service, address: str, tmp_path: Path) -> None:
    """Examples, edge cases, random cases and sequences of calls; every check, and the same cases in every run."""
    await store(service)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", f"{CONFIGURATION}", "run", "--no-color"),
        *(
            "--checks",
            "all",
            "--phases",
            "examples,fuzzing,stateful,coverage",
            "--max-time",
            f"{BUDGET_SECONDS}",
            f"{address}/openapi.json",
        ),
    ]
    run = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(MOST_SECONDS):
        output, _ = await run.communicate()

    assert run.returncode == 0, output.decode()
