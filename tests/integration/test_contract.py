"""The service keeps to its own OpenAPI document whatever it is sent: no 5xx, no answer outside of the schema."""

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.settings import Settings
from tests.integration.keys import ROOT_KEY, make
from tests.integration.service import Service

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
# It takes 150 on an idle machine of two cores.
MOST_SECONDS = 1_500


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With a root key."""
    monkeypatch.setenv("MEMORY_API_KEYS", ROOT_KEY)
    return Settings.load()


async def schemathesis(address: str, key: str, directory: Path, phases: str) -> int:
    """The number of cases that nothing was found in, with every check, save for the exceptions.

    Deprecated paths have the endpoints of those that took their place.
    """
    report = directory / "schemathesis.txt"
    with report.open("wb") as output:
        run = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", f"{CONFIGURATION}", "run", "--no-color"),
            *("--exclude-deprecated", "--checks", "all", "--phases", phases, f"{address}/openapi.json"),
            cwd=directory,
            env={**os.environ, "MEMORY_TEST_KEY": key},
            stdout=output,
            stderr=output,
        )
        try:
            async with asyncio.timeout(MOST_SECONDS):
                await run.wait()
        finally:
            if run.returncode is None:
                run.kill()
    assert run.returncode == 0, report.read_text()
    generated = re.search(r"(\d+) generated", report.read_text())
    assert generated is not None, report.read_text()
    return int(generated[1])


async def test_nothing_is_found_with_a_root_key(
    service: Service, address: str, tmp_path: Path, record_testsuite_property: Callable[[str, int], None]
) -> None:
    """Examples, edge cases, random cases and sequences of calls."""
    cases = await schemathesis(address, ROOT_KEY, tmp_path, "examples,coverage,fuzzing,stateful")

    record_testsuite_property("schemathesis_cases", cases)
    assert cases > 500


async def test_nothing_is_found_with_a_tenants_key(service: Service, address: str, tmp_path: Path) -> None:
    """Random cases and sequences of calls, where most name another tenant."""
    key = await make(service)

    assert await schemathesis(address, key.key, tmp_path, "fuzzing,stateful") > 100
