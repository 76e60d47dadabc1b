"""An evaluation from the files to the report; nothing is left of what it stored."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from jobs.evaluate import main
from jobs.evaluation.configurations import Configuration
from jobs.evaluation.formats.recognition import read_dataset
from jobs.evaluation.memory.over_http import memories_over_http
from jobs.progress import ProgressLines
from jobs.terminal import FAILED, INTERRUPTED, OK
from tests.integration.postgres import PostgresServer, fast_directory
from tests.integration.service import Service
from tests.paths import ROOT
from tests.unit.evaluation.samples import locomo_sample, longmemeval_sample, message, question, write_lines

SIDE_BY_SIDE = """
[default]
["words only"]
weights.similarity = 0
[small]
embedding.dimensions = 64
search.candidates = 10
"""
EARLY = "2026-01-01T00:00:00Z"
# Port 9 of this machine: nothing listens there.
AWAY = """
[away]
embedding = {provider = "openai_compatible", dimensions = 8, timeout_seconds = 0.2}
openai.base_url = "http://127.0.0.1:9/v1"
"""


@pytest.fixture
def folder(tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Change to a folder without `.env`, and assert afterwards that no temporary database is left on the server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMORY_DATABASE_URL", postgres.url)
    yield tmp_path
    assert asyncio.run(temporary_databases(postgres.url)) == []


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two tenants that say nearly the same, and what they are asked."""
    return write_lines(
        tmp_path / "own.jsonl",
        message(1, tenant="a", name="Ida", content="My sister Ana moved to Lisbon in March."),
        message(2, tenant="a", content="It has rained for three days."),
        message(1, tenant="b", name="Per", content="My sister Eva moved to Oslo in May."),
        question("m1", tenant="a", question="Where does Ana live?", kind="place"),
        question("m1", tenant="b", question="Where does Eva live?", kind="place"),
        question("m2", tenant="a", question="How is the weather? Rain?", kind="weather"),
    )


async def temporary_databases(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'memory\\_evaluation\\_%'")
        return [row["datname"] for row in rows]
    finally:
        await connection.close()


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "results.json").read_text())
    return found


def test_configurations_are_judged_side_by_side(folder: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "c.toml").write_text(SIDE_BY_SIDE)

    status = main([str(data), "--configurations", "c.toml", "--out", "out", "--fail-under", "recall@5=100"])

    output = capsys.readouterr()
    assert status == OK, output.err
    assert "own (JSON Lines): questions 3, messages 3, tenants 2" in output.out
    # Two embedding spaces, so two databases are filled.
    assert output.err.count("storing messages: 3 of 3") == 2
    (dataset,) = results(folder)["datasets"]
    assert [each["name"] for each in dataset["configurations"]] == ["default", "words only", "small"]
    for each in dataset["configurations"]:
        assert each["metrics"]["recall@5"]["value"] == 100
        assert [row["ranked"][0] for row in each["rows"]] == ["m1", "m2", "m1"]
        assert each["latency_ms"]["p50"]["value"] > 0
    used = results(folder)["configurations"]
    assert used[1]["weights"]["similarity"] == 0
    assert used[2]["settings"]["search"]["candidates"] == 10
    assert "words only" in (folder / "out" / "report.html").read_text()


def test_the_public_formats_and_an_ablation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "locomo.json").write_text(json.dumps([locomo_sample()]))
    (folder / "longmemeval.json").write_text(json.dumps([longmemeval_sample()]))

    assert main(["locomo.json", "longmemeval.json", "--ablation", "--questions", "1", "--out", "out"]) == OK

    assert capsys.readouterr().err.count("storing messages") == 2
    locomo, longmemeval = results(folder)["datasets"]
    assert (locomo["questions"], locomo["messages"]) == (1, 3)
    assert (longmemeval["questions"], longmemeval["messages"]) == (1, 3)
    assert [each["name"] for each in longmemeval["configurations"]][-2:] == ["similarity only", "words only"]


def test_what_falls_below_a_bar_is_said(folder: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with data.open("a") as file:
        file.write(json.dumps(question("m2", "m1", tenant="a", question="Where does Ana live?")) + "\n")

    status = main([str(data), "--out", "out", "--fail-under", "recall@20=1", "--fail-under", "recall@1=99.5"])

    assert status == FAILED
    assert capsys.readouterr().err.splitlines()[-1] == "error: own: recall@1 is 87.5, below 99.5"


def test_nothing_is_left_when_it_fails(folder: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "c.toml").write_text(AWAY)

    assert main([str(data), "--configurations", "c.toml", "--out", "out"]) == FAILED

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where the embedded server is made. Short, since a socket's path has to be; empty afterwards."""
    directory = Path(fast_directory() or "/tmp") / f"ml-ev-{os.getpid()}"  # noqa: S108 - of our own
    directory.mkdir(mode=0o755)
    yield directory
    directory.rmdir()


def start(data: Path, temporary: Path, out: Path) -> subprocess.Popen[str]:
    """The job as a user starts it, with no database of theirs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEMORY_")}
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.evaluate", str(data), "--out", str(out)],
        cwd=ROOT,
        env=environment | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_without_a_url_the_embedded_server_is_made_and_removed(data: Path, temporary: Path, tmp_path: Path) -> None:
    with start(data, temporary, tmp_path / "out") as process:
        output, progress = process.communicate(timeout=120)

    assert process.returncode == OK, progress
    assert "asking questions: 3 of 3" in progress
    assert "recall@10" in output


def test_nothing_is_left_when_ray_stops_the_job(temporary: Path, tmp_path: Path) -> None:
    """Ray sends SIGTERM, to a process in which it has blocked SIGINT; a shell's `&` has it ignored."""
    many = write_lines(tmp_path / "many.jsonl", *(message(n, created_at=EARLY) for n in range(3000)), question("m1"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start(many, temporary, tmp_path / "out")
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    with process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("storing messages")
        assert list(temporary.iterdir())
        process.send_signal(signal.SIGTERM)
        _, progress = process.communicate(timeout=60)

    assert process.returncode == INTERRUPTED, progress


async def test_a_running_service_is_judged_and_left_as_it_was(service: Service, data: Path) -> None:
    tenants = read_dataset(data, "own").tenants
    configurations = [Configuration("default")]
    working = asyncio.create_task(service.worker.run())
    try:
        memories = memories_over_http(service.client, configurations, tenants, ProgressLines(StringIO()))
        async with memories as (memory,):
            assert (await memory.ask(0, "Where does Ana live?", 20))[0] == "m1"
            assert await memory.ask(1, "Where does Ana live?", 20) == ["m1"]
            assert (await service.jobs.counts()).pending == 0
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working

    async with service.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM messages") == 0
