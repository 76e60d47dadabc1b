"""Recall of the HNSW way against exact search, from the file to the chart; nothing is left of what it stored."""

import asyncio
import json
from pathlib import Path

import asyncpg
import pytest

from loadtests.index_recall import main
from tests.integration.postgres import PostgresServer
from tests.unit.evaluation.samples import message, question, write_lines

PLACES = ("lake", "harbour", "market", "museum", "station", "bakery", "forest", "library", "tower", "bridge")
THINGS = ("bicycle", "piano", "umbrella", "lantern", "camera", "kettle", "compass", "violin", "suitcase", "telescope")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    said = [f"I left my {thing} at the {place} again." for thing in THINGS for place in PLACES]
    lines = [message(number % 60, id=f"m{number}", content=content) for number, content in enumerate(said)]
    return write_lines(tmp_path / "own.jsonl", *lines, question("m0", question="Where is my bicycle?"))


async def temporary_databases(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT datname FROM pg_database WHERE datname LIKE 'memory\\_index\\_recall\\_%'"
        )
        return [row["datname"] for row in rows]
    finally:
        await connection.close()


def test_recall_and_costs_are_measured_at_each_size(
    data: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(data.parent)
    monkeypatch.setenv("MEMORY_DATABASE_URL", postgres.url)
    out, chart = data.parent / "out.json", data.parent / "chart.svg"
    options = ["--sizes", "45", "60", "--others", "25", "--queries", "4", "--also", "40:off"]

    assert main([str(data), *options, "--out", str(out), "--chart", str(chart)]) == 0

    found = json.loads(out.read_text())
    assert [(each["rows"], each["way"]) for each in found["tenant"]] == [
        (rows, scan) for rows in (45, 60) for scan in ("exact", "HNSW", "HNSW 40:off")
    ]
    assert {each["rows"]: each["short"] for each in found["others"] if each["way"] == "exact"} == {20: 1.0, 5: 1.0}
    for each in (*found["tenant"], *found["others"]):
        assert 0 < each["p50_ms"] <= each["p95_ms"]
        assert each["recall"] == each["recall_10"] == 1
    assert "recall@40" in capsys.readouterr().out
    assert chart.read_text().startswith("<svg")
    assert asyncio.run(temporary_databases(postgres.url)) == []


def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "away.jsonl")]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'away.jsonl'}: No such file or directory\n"
