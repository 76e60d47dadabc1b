"""What the command line refuses, before any work is done."""

from pathlib import Path

import pytest

from jobs.evaluate import main
from jobs.terminal import MISUSED
from tests.unit.evaluation.samples import message, question, write_lines


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(write_lines(tmp_path / "own.jsonl", message(1), question("m1")))


@pytest.mark.parametrize(
    "options",
    [
        ["--fail-under", "recall@7=50"],
        ["--fail-under", "recall@10"],
        ["--fail-under", "recall@10=nan"],
        ["--fail-under", "recall@10=101"],
        ["--questions", "0"],
        ["--questions", "-1"],
        ["--seed", "x"],
        ["--wrong"],
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: list[str], data: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([data, *options])

    assert exit_.value.code == MISUSED


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--key", "k"], "error: --key: is for --url\n"),
        (["--configurations", "none.toml"], "error: none.toml: No such file or directory\n"),
        (["none.jsonl"], "error: none.jsonl: No such file or directory\n"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(
    options: list[str], expected: str, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([data, *options]) == MISUSED
    assert capsys.readouterr().err == expected


def test_a_running_services_settings_are_its_own(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text("[wide]\nsearch.candidates = 200")

    assert main([data, "--url", "http://127.0.0.1:9", "--configurations", "c.toml"]) == MISUSED
    assert capsys.readouterr().err == (
        "error: [wide]: search: with --url, settings are the running service's own: weights alone\n"
    )
