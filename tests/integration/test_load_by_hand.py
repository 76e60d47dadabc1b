"""The line for Locust in CONTRIBUTING.md, as somebody pastes it."""

import asyncio
import os

import pytest

from deployments.settings import Settings
from tests.integration.keys import ROOT_KEY
from tests.paths import ROOT

MOST_SECONDS = 120
BRIEFLY = "--headless --users 2 --run-time 3s --exit-code-on-error 1"


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Settings:
    """With the root key of the test, if it has one."""
    if request.getfixturevalue("key"):
        monkeypatch.setenv("MEMORY_API_KEYS", request.getfixturevalue("key"))
    return Settings.load()


def documented_line(address: str) -> str:
    lines = (ROOT / "CONTRIBUTING.md").read_text().splitlines()
    line = next(each for each in lines if "locust -f" in each).partition("   #")[0]
    return line.replace("http://127.0.0.1:8000", address)


@pytest.mark.parametrize("key", ["", ROOT_KEY], ids=["without keys", "with a key"])
async def test_locust_runs_as_documented(address: str, key: str) -> None:
    run = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"{documented_line(address)} {BRIEFLY}"),
        cwd=ROOT,
        env={**os.environ, "KEY": key, "LOADTEST_TENANTS": "2"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(MOST_SECONDS):
        output, _ = await run.communicate()

    assert run.returncode == 0, output.decode()
