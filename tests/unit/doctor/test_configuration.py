"""What is found in the settings and in the Serve config, and how the command is called."""

import asyncio
import copy
import json
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.errors import DatabaseUnavailableError
from deployments.settings import Settings
from jobs.doctor import command
from jobs.doctor.checking import made
from jobs.doctor.command import judged, main
from jobs.doctor.environment import read_env_file
from jobs.doctor.findings import Finding, Outcome, problem, skipped, warning, well, worst
from jobs.doctor.reporting import write_list
from jobs.doctor.serve_config import judge_config, read_config
from jobs.doctor.settings import together
from jobs.terminal import FAILED, INTERRUPTED
from tests.paths import SERVE_CONFIG

Json = dict[str, Any]


def config() -> Json:
    loaded: Json = yaml.safe_load(SERVE_CONFIG.read_text())
    return loaded


def deployment(given: Json, name: str) -> Json:
    found: Json = next(each for each in given["applications"][0]["deployments"] if each["name"] == name)
    return found


CHANGES: dict[str, tuple[Callable[[Json], Any], str, str]] = {
    "a key with a slip": (
        lambda c: deployment(c, "Search").update(num_replica=2),
        "applications.deployments.num_replica is no key that Serve knows",
        "Did you mean num_replicas?",
    ),
    "a deployment with a slip": (
        lambda c: deployment(c, "Search").update(name="Serach"),
        "There is no deployment Serach",
        "Did you mean Search?",
    ),
    "a count in two": (
        lambda c: deployment(c, "Metrics").update(num_replicas=2),
        "Metrics has 2 replicas",
        "num_replicas: 1",
    ),
    "a count that is none": (
        lambda c: deployment(c, "Search").update(num_replicas="many"),
        "Serve refuses applications.deployments: `num_replicas` must be an int",
        "serve_config.yaml",
    ),
    "a count in Serve's hands": (
        lambda c: deployment(c, "Metrics").update(num_replicas="auto"),
        "Metrics has 100 replicas",
        "num_replicas: 1",
    ),
    "bounds that cross": (
        lambda c: (
            deployment(c, "Search").pop("num_replicas"),
            deployment(c, "Search").update(autoscaling_config={"min_replicas": 2}),
        ),
        "Serve refuses the autoscaling_config of Search: max_replicas (1) must be greater than",
        "serve_config.yaml shows one",
    ),
    "an argument that makes no sense": (
        lambda c: c["applications"][0]["args"]["embedding"].update(batch=0),
        "args.embedding.batch",
        "serve_config.yaml",
    ),
    "a timeout of Serve's that comes first": (
        lambda c: c["http_options"].update(request_timeout_s=10),
        "MEMORY_REQUEST_TIMEOUT_SECONDS is not below request_timeout_s (10)",
        "Lower the first",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_wrong_with_the_serve_config_is_named(change: str) -> None:
    wrong, (apply, said, advice) = copy.deepcopy(config()), CHANGES[change]
    apply(wrong)

    first = judge_config(wrong, Settings.load())[0]

    assert said in first.said
    assert advice in (first.advice or "")


def test_what_serve_refuses_in_a_runtime_env_is_not_repeated() -> None:
    wrong = config()
    wrong["applications"][0]["runtime_env"] = {"working_dir": "hunter2"}

    (finding,) = judge_config(wrong, Settings.load())
    assert finding.said == "Serve refuses applications.runtime_env."


def test_a_deployment_without_a_part_is_warned_of() -> None:
    short = config()
    short["applications"][0]["deployments"].pop()

    (finding,) = judge_config(short, Settings.load())
    assert finding.outcome is Outcome.WARNING


def test_the_repositorys_config_is_well() -> None:
    assert worst(judge_config(config(), Settings.load())) is Outcome.OK


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("a: [1,\nb: 2", "is no YAML, line 2"),
        (b"caf\xe9: latin", "cannot be read: UnicodeDecodeError"),
        ("day: 2026-13-45", "cannot be read: ValueError"),
        ("applications: []", "holds no application"),
        ("just a text", "holds no application"),
        ("applications: {name: memory}", "holds no application"),
        ("applications: [memory]", "holds no application"),
    ],
)
def test_a_file_that_is_no_serve_config(tmp_path: Path, text: str | bytes | None, said: str) -> None:
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    found = read_config(path)

    assert isinstance(found, Finding)
    assert said in found.said


@pytest.mark.parametrize(
    "environment",
    [
        {"MEMORY_DATABASE_READ_URL": "postgresql://h/d"},
        {"MEMORY_EMBEDDING_RETRY_BASE_SECONDS": "400"},
        {"MEMORY_EMBEDDING_LEASE_SECONDS": "1"},
        {"MEMORY_SEARCH_EMBEDDING_TIMEOUT_SECONDS": "31"},
        {"MEMORY_EMBEDDING_PROVIDER": "openai_compatible"},
        {"MEMORY_ENVIRONMENT": "production", "MEMORY_METRICS_ENABLED": "false"},
    ],
    ids=lambda each: next(iter(each)),
)
def test_settings_that_do_not_fit_each_other(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    (finding,) = together(Settings.load())

    assert finding.outcome is Outcome.WARNING
    assert next(iter(environment)) in finding.said


def test_settings_that_fit() -> None:
    assert worst(together(Settings.load())) is Outcome.OK


async def test_a_check_that_hangs_is_given_up() -> None:
    async def hang() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    (finding,) = await made("it", hang, 0.01)
    assert (finding.check, finding.outcome) == ("it", Outcome.PROBLEM)


async def test_a_check_that_meets_an_error_of_ours_says_it() -> None:
    async def fail() -> list[Finding]:
        raise DatabaseUnavailableError("The database cannot be reached just now.")

    (finding,) = await made("it", fail)
    assert (finding.outcome, finding.said) == (Outcome.PROBLEM, "The database cannot be reached just now.")


@pytest.mark.parametrize(
    ("finding", "status", "strict"),
    [
        (well("it", ""), 0, 0),
        (skipped("it", ""), 0, 0),
        (warning("it", "", ""), 0, 1),
        (problem("it", "", ""), 1, 1),
    ],
    ids=lambda each: each.outcome if isinstance(each, Finding) else None,
)
def test_the_status_for_scripts(finding: Finding, status: int, strict: int) -> None:
    assert judged([finding], strict=False) == status
    assert judged([finding], strict=True) == strict


@pytest.mark.parametrize("arguments", [["--url", "localhost:8000"], ["--dashboard", "ray://h:10001"], ["--nothing"]])
def test_what_makes_no_sense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2


def broken(_: object) -> object:
    raise ZeroDivisionError("hunter2")


def interrupted(_: object) -> object:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("examine", "status", "said"),
    [(broken, FAILED, "The doctor itself broke: ZeroDivisionError in"), (interrupted, INTERRUPTED, "interrupted")],
)
def test_a_script_gets_its_answer_whatever_happens(
    examine: object,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "examine", examine)

    assert main(["--json"]) == status
    printed = capsys.readouterr()
    (finding,) = json.loads(printed.out)["findings"]
    assert (finding["check"], finding["outcome"]) == ("doctor", "problem")
    assert said in finding["said"]
    assert "hunter2" not in printed.out + printed.err


def test_a_list_is_written_whatever_the_terminal_can_show() -> None:
    stream = TextIOWrapper(BytesIO(), encoding="ascii")

    write_list([warning("settings", "MEMORY_\udcff and dä", "")], stream)

    stream.seek(0)
    assert "MEMORY_\\udcff and d\\xe4" in stream.read()


@pytest.mark.parametrize(
    ("content", "outcome", "said"),
    [
        (b"MEMORY_X='caf\xe9'", Outcome.PROBLEM, "it is no UTF-8 text"),
        (b"MEMORY_X=a\0b", Outcome.PROBLEM, "it holds a NUL character"),
        (b"\n=hunter2\n", Outcome.WARNING, "Line 2 of"),
    ],
)
def test_an_env_file_that_cannot_be_read(tmp_path: Path, content: bytes, outcome: Outcome, said: str) -> None:
    path = tmp_path / ".env"
    path.write_bytes(content)

    (finding,) = read_env_file(path)

    assert finding.outcome is outcome
    assert said in finding.said
    assert "hunter2" not in finding.said


def test_an_env_file_that_is_none_says_nothing(tmp_path: Path) -> None:
    assert read_env_file(tmp_path / ".env") == []
