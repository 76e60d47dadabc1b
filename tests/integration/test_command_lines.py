"""Commands at a shell: the database that they choose, the settings of `.env`, and their one-line errors."""

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.command_lines import psql_command
from deployments.settings import Settings
from deployments.storage.postgres.embedded import stop
from serve_app import launch
from tests.integration.postgres import PostgresServer, fast_directory
from tests.paths import ROOT

KEYS = ["jobs.keys", "list"]
ALEMBIC = ["alembic", "current"]
LAUNCH = ["serve_app.launch"]
LOOKS = [
    KEYS,
    ["jobs.reanalyze", "--dry-run"],
    ["jobs.reembed", "--status"],
    ["jobs.retention", "--dry-run"],
    ["jobs.tenants", "export", "acme", "acme.jsonl.gz"],
    ["deployments.storage.postgres.embedded", "url"],
]
READ_ENV_FILE = [
    KEYS,
    ALEMBIC,
    LAUNCH,
    ["serve_app.launcher.cluster_environment"],
    ["deployments.storage.postgres.embedded", "stop"],
]
PASSWORD = "hunter2"  # noqa: S105 - never to be seen
first = pytest.mark.parametrize("command", LOOKS, ids=lambda words: words[0])


class Shell:
    """A shell in an empty home directory, without any setting."""

    def __init__(self, home: Path) -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEMORY_", "XDG_", "RAY_"))}
        self.environment = {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT)}

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.bash([sys.executable, "-m", *words], **environment)

    def bash(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.home,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def enter_checkout(self) -> None:
        """Have what Alembic looks for in the current folder."""
        for name in ("pyproject.toml", "migrations"):
            (self.home / name).symlink_to(ROOT / name)

    def refused(self, *words: str, **environment: str) -> str:
        """Run a command that fails, and return its one line of error."""
        done = self.run(*words, **environment)
        assert done.returncode in {1, 2}
        assert done.stdout.strip() in {"", "Stopping ..."} or "Stopped in" in done.stdout
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr


@pytest.fixture
def shell() -> Iterator[Shell]:
    with tempfile.TemporaryDirectory(prefix="ml-shell-", dir=fast_directory()) as directory:
        home = Path(directory)
        yield Shell(home)
        stop(home / "data")


@first
def test_a_job_that_knows_no_database_says_how_to_name_one_and_makes_none(shell: Shell, command: list[str]) -> None:
    complaint = shell.refused(*command)

    assert "MEMORY_DATA_DIR" in complaint
    assert "MEMORY_DATABASE_URL" in complaint
    assert list(shell.home.iterdir()) == []
    assert stat.S_IMODE(shell.home.stat().st_mode) == 0o700


def test_a_job_that_only_looks_makes_no_database_where_one_is_named(shell: Shell) -> None:
    complaint = shell.refused(*KEYS, MEMORY_DATA_DIR="data")

    assert "there is no database under data" in complaint
    assert list(shell.home.iterdir()) == []


def test_the_first_key_is_made_where_it_is_named_and_listed_from_there(shell: Shell) -> None:
    made = shell.run("jobs.keys", "create", "--name", "first", MEMORY_DATA_DIR="data")
    (shell.home / ".env").write_text("MEMORY_DATA_DIR=data\n")

    listed = shell.run(*KEYS)

    assert made.returncode == 0, made.stderr
    assert [json.loads(line)["name"] for line in listed.stdout.splitlines()] == ["first"]


def test_alembic_takes_the_url_of_the_env_file(shell: Shell, database_url: str) -> None:
    shell.enter_checkout()
    (shell.home / ".env").write_text(f"MEMORY_DATABASE_URL={database_url}\n")

    assert "(head)" in shell.run(*ALEMBIC).stdout


def test_a_cluster_that_is_started_by_hand_gets_what_the_env_file_says(shell: Shell) -> None:
    (shell.home / ".env").write_text("MEMORY_SEARCH_LANGUAGE='de'\n")

    assert "export MEMORY_SEARCH_LANGUAGE=de\n" in shell.run("serve_app.launcher.cluster_environment").stdout


@pytest.mark.parametrize("command", READ_ENV_FILE, ids=lambda words: words[0])
def test_an_env_file_in_another_encoding_is_one_sentence(shell: Shell, command: list[str]) -> None:
    shell.enter_checkout()
    path = shell.home / ".env"
    path.write_text("MEMORY_LOG_LEVEL=DEBUG\n", encoding="utf-16")

    assert f"{path} cannot be read: " in shell.refused(*command)


@pytest.mark.parametrize("command", [KEYS, ALEMBIC, LAUNCH], ids=lambda words: words[0])
def test_a_database_that_is_away_is_told_with_setting_cause_and_doctor(shell: Shell, command: list[str]) -> None:
    shell.enter_checkout()
    url = f"postgresql://someone:{PASSWORD}@127.0.0.1:1/db"

    complaint = shell.refused(*command, MEMORY_DATABASE_URL=url, MEMORY_DATA_DIR="data")

    assert "MEMORY_DATABASE_URL: the database cannot be reached: " in complaint
    assert "Connect call failed" in complaint
    assert "-m jobs.doctor" in complaint
    assert PASSWORD not in complaint


@pytest.mark.parametrize(
    ("options", "environment", "name"),
    [
        (["--port", "99999"], {}, "--port"),
        (["--dashboard-port", "0"], {}, "--dashboard-port"),
        ([], {"RAY_SERVE_HAPROXY_STATS_PORT": "many"}, "RAY_SERVE_HAPROXY_STATS_PORT"),
        (["--port", "9101"], {}, "9101 is for the API already"),
    ],
)
def test_what_is_no_port_is_named(shell: Shell, options: list[str], environment: dict[str, str], name: str) -> None:
    assert name in shell.refused(*LAUNCH, *options, MEMORY_DATA_DIR="data", **environment)


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        (["--data-dir", "named"], "other", "named"),
        (["--default-data-dir", "default"], "other", "other"),
        (["--default-data-dir", "default"], "", "default"),
    ],
)
def test_an_option_beats_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], environment: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMORY_DATA_DIR", environment)

    plan = launch._read_plan(launch._options(options))

    assert plan.settings.runtime.data_dir == tmp_path / expected


def test_make_serve_takes_a_port() -> None:
    make = ["make", "--dry-run", "--assume-old=.venv/.installed", "serve", "PORT=8080", "DASHBOARD_PORT=8266"]

    said = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "--port 8080 --dashboard-port 8266" in " ".join(said.split())


@pytest.mark.parametrize("embedded", [True, False], ids=["embedded", "in .env"])
def test_statements_for_psql_can_be_pasted(
    shell: Shell, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, *, embedded: bool
) -> None:
    monkeypatch.delenv("MEMORY_DATA_DIR", raising=False)
    if embedded:
        monkeypatch.setenv("MEMORY_DATA_DIR", str(postgres.directory))
    else:
        (shell.home / ".env").write_text(f"MEMORY_DATABASE_URL={postgres.url}\n")

    done = shell.bash(["bash", "-c", psql_command("SELECT 'it''s ' || 41 + 1", "SELECT 7")])

    assert "it's 42" in done.stdout, done.stderr


def test_the_command_for_an_older_schema_can_be_pasted(shell: Shell, postgres: PostgresServer) -> None:
    url = postgres.create("template0")
    doctor = shell.run("jobs.doctor", "--json", "--no-provider", MEMORY_DATABASE_URL=url)
    (finding,) = (each for each in json.loads(doctor.stdout)["findings"] if each["check"] == "database.schema")

    pasted = shell.bash(["bash", "-c", finding["command"]], MEMORY_DATABASE_URL=url)

    assert pasted.returncode == 0, pasted.stderr
    assert shell.run(*KEYS, MEMORY_DATABASE_URL=url).returncode == 0


def test_the_command_for_a_first_key_can_be_pasted(shell: Shell, settings: Settings) -> None:
    assert settings.database.url is not None
    url = settings.database.url.get_secret_value()
    doctor = shell.run("jobs.doctor", "--json", "--no-provider", MEMORY_DATABASE_URL=url)
    (finding,) = (each for each in json.loads(doctor.stdout)["findings"] if each["check"] == "keys")

    pasted = shell.bash(["bash", "-c", finding["command"]], MEMORY_DATABASE_URL=url)

    assert pasted.returncode == 0, pasted.stderr
    listed = shell.run(*KEYS, MEMORY_DATABASE_URL=url)
    assert json.loads(listed.stdout)["name"] == "operator"
