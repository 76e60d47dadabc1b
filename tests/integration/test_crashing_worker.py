"""A message that kills the process that embeds it, every time, takes no other message with it."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from tests.integration.calls import get, message, store_many
from tests.integration.service import Service
from tests.paths import ROOT

# A worker over the settings' database, which works once; some texts kill its process.
WORKER = """
import asyncio, os, signal
from deployments.embedding.providers.local import LocalProvider
from deployments.settings import Settings
from tests.integration.postgres import SPACE
from tests.integration.service import create_service

class Deadly(LocalProvider):
    async def embed_documents(self, texts):
        if any("deadly" in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().embed_documents(texts)

async def work():
    async with create_service(Settings.load(), Deadly(SPACE)) as service:
        await service.worker.work_once()

asyncio.run(work())
"""


async def work_once(service: Service) -> int:
    """Have a process of its own work once, on all that is not done. Returns its status."""
    async with service.database.connection() as connection:
        # The leases of those that were killed have run out.
        await connection.execute("UPDATE embedding_jobs SET available_at = now()")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", WORKER],
        cwd=ROOT,
        env={**os.environ, "MEMORY_EMBEDDING_MAX_ATTEMPTS": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode


async def statuses(service: Service, messages: list[str]) -> list[str]:
    return [(await get(service, each))["embedding_status"] for each in messages]


@pytest.mark.usefixtures("settings")
async def test_from_the_second_crash_on_a_message_is_tried_alone(service: Service) -> None:
    stored = await store_many(service, [message(text) for text in ("one", "two", "deadly", "three")])
    first = [each["id"] for each in stored]

    assert [await work_once(service) for _ in range(2)] == [-signal.SIGKILL] * 2
    assert await statuses(service, first) == ["pending"] * 4
    later = [each["id"] for each in await store_many(service, [message(f"later {n}") for n in range(20)])]

    # The last attempt that it has; what came meanwhile is embedded all the same.
    assert await work_once(service) == -signal.SIGKILL
    assert await statuses(service, later) == ["completed"] * 20

    assert await work_once(service) == 0
    assert await statuses(service, first) == ["completed", "completed", "failed", "completed"]
    assert (await get(service, first[2]))["embedding_error"] == "No attempt to embed it came to an end."
