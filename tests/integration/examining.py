"""`python -m jobs.doctor` as a test calls it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from jobs.doctor.command import main
from tests.integration.keys import ROOT_KEY

Json = dict[str, Any]
Doctor = Callable[..., "Report"]
# What is told of the tests' server, which tests/integration/postgres.py has do less than it should.
SWITCHED_OFF = {"database.durability", "database.vacuum"}
PASSWORD = "hunter2"  # noqa: S105 - never to be seen


class Report:
    """What a run has found."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text
        self.body: Json = json.loads(text)

    def said(self, check: str) -> str:
        """All of a check's findings that are not well, with what to do."""
        found = [each for each in self.body["findings"] if each["check"] == check and each["outcome"] != "ok"]
        return "\n".join(f"{each['outcome']}: {each['said']} {each['advice']} {each['command']}" for each in found)

    def wrong(self) -> set[str]:
        """The checks that found something."""
        return {each["check"] for each in self.body["findings"] if each["outcome"] in {"warning", "problem"}}


def calls_of(monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Runs on the test's database, with keys, in a folder without `.env`."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MEMORY_API_KEYS", ROOT_KEY)
    monkeypatch.delenv("RAY_DASHBOARD_ADDRESS", raising=False)

    def run(*arguments: str) -> Report:
        status = main(["--json", *arguments])
        return Report(status, capsys.readouterr().out)

    return run


def execute(url: str, *statements: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())
