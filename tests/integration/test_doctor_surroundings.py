"""`python -m jobs.doctor`: the settings, the embedded Postgres, the provider, Redis, and nobody at an address."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.settings import Settings
from tests.integration.examining import PASSWORD, Doctor, calls_of, execute
from tests.integration.postgres import PostgresServer
from tests.redis_server import running_redis
from tests.unit.embedding.stand_in import Scripted, StandIn


@pytest.fixture
def doctor(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Runs it on the test's database."""
    return calls_of(monkeypatch, tmp_path, capsys)


def test_every_setting_that_makes_no_sense_is_named_and_every_unknown_one(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_SEARCH_CANDIDATES", "1")
    monkeypatch.setenv("MEMORY_QUOTA_MESSAGES", "many")
    monkeypatch.setenv("MEMORY_DATABASE_URL", f"postgresql://someone:{PASSWORD}/9@host/db")
    monkeypatch.setenv("MEMORY_DATABASE_POOLSIZE", "3")

    report = doctor()

    said = report.said("settings")
    for name in ("MEMORY_SEARCH_CANDIDATES", "MEMORY_QUOTA_MESSAGES", "MEMORY_DATABASE_URL: must be like"):
        assert f"problem: {name}" in said
    assert "MEMORY_DATABASE_POOLSIZE is no setting" in said
    assert "Did you mean MEMORY_DATABASE_POOL_SIZE?" in said
    assert (report.status, report.said("database").partition(":")[0]) == (1, "skipped")
    assert PASSWORD not in report.text


def test_a_serve_config_of_another_shape_is_a_finding_and_stops_no_other(doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("applications: [{import_path: 'serve_app.build:build_app', deployments: [{num_replicas: 2}, 3]}]")

    report = doctor("--no-provider", "--config", str(path))

    assert report.said("serve_config") != ""
    assert report.said("connections") != ""
    assert '"check": "keys"' in report.text


def test_the_database_that_searches_read(
    doctor: Doctor, database_url: str, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_READ_URL", there)
    assert doctor("--no-provider").said("database.read") == ""

    execute(there, "UPDATE alembic_version SET version_num = '0001'")
    assert "at revision 0001" in doctor("--no-provider").said("database.read")
    monkeypatch.setenv("MEMORY_DATABASE_READ_URL", f"postgresql://u:{PASSWORD}@127.0.0.1:1/db")
    report = doctor("--no-provider")
    assert "cannot be reached" in report.said("database.read")
    assert PASSWORD not in report.text


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (None, "warning: There is no database under"),
        ("17", "was made by Postgres 17"),
        ("18", "does not run. Start the service"),
    ],
)
def test_an_embedded_postgres_that_does_not_run_is_not_started(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str | None, words: str
) -> None:
    monkeypatch.delenv("MEMORY_DATABASE_URL")
    monkeypatch.setenv("MEMORY_DATA_DIR", str(tmp_path))
    if version is not None:
        (tmp_path / "postgres").mkdir()
        (tmp_path / "postgres" / "PG_VERSION").write_text(f"{version}\n")

    report = doctor("--no-provider")

    assert words in report.said("database.embedded")
    assert not list(tmp_path.glob("**/postmaster.pid"))


def test_an_embedded_postgres_that_runs_is_looked_at(
    doctor: Doctor, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own database was never migrated here."""
    monkeypatch.delenv("MEMORY_DATABASE_URL")
    monkeypatch.setenv("MEMORY_DATA_DIR", str(postgres.directory))

    report = doctor("--no-provider")

    assert report.said("database.embedded") == ""
    assert "at revision none" in report.said("database.schema")
    assert "GB are free" in report.text


@pytest.fixture
def stand_in(doctor: Doctor, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The provider of the active space."""
    server = StandIn()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MEMORY_EMBEDDING_PROVIDER", "openai_compatible")
    monkeypatch.setenv("MEMORY_EMBEDDING_DIMENSIONS", "96")
    monkeypatch.setenv("MEMORY_OPENAI_MODEL", "small")
    monkeypatch.setenv("MEMORY_OPENAI_API_KEY", PASSWORD)
    monkeypatch.setenv("MEMORY_OPENAI_BASE_URL", f"{server.address}/v1")
    execute(database_url, "UPDATE embedding_space SET provider = 'openai_compatible', model = 'small', dimensions = 96")
    yield server
    server.close()


def test_a_provider_that_works_is_asked_once_and_only_if_it_may(doctor: Doctor, stand_in: StandIn) -> None:
    assert "--no-provider" in doctor("--no-provider").said("provider")
    assert stand_in.received == []

    assert doctor().said("provider") == ""
    assert len(stand_in.received) == 1


def test_a_provider_that_refuses_the_key(doctor: Doctor, stand_in: StandIn) -> None:
    stand_in.always = Scripted(401, {"error": {"message": f"no such key: {PASSWORD}"}})

    report = doctor()

    assert "problem: The embedding server refuses the key (HTTP 401)" in report.said("provider")
    assert PASSWORD not in report.text


def test_a_provider_whose_vectors_do_not_fit_the_active_space(doctor: Doctor, stand_in: StandIn) -> None:
    stand_in.dimensions = 12

    assert "12" in doctor().said("provider")


def test_redis_that_answers_and_redis_that_is_gone(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_redis() as redis:
        monkeypatch.setenv("MEMORY_REDIS_URL", redis.url.replace("//", f"//:{PASSWORD}@"))
        refused = doctor("--no-provider")
        monkeypatch.setenv("MEMORY_REDIS_URL", redis.url)
        assert doctor("--no-provider").said("redis") == ""
        redis.kill()
        report = doctor("--no-provider")

    assert "problem: Redis does not answer" in report.said("redis")
    assert PASSWORD not in refused.text


def test_a_password_that_is_not_encoded_is_a_finding_and_is_not_shown(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MEMORY_DATABASE_URL", "MEMORY_DATABASE_READ_URL"):
        monkeypatch.setenv(name, f"postgresql://someone:pa#{PASSWORD}@host/db")
    monkeypatch.setenv("MEMORY_REDIS_URL", f"redis://someone:1?{PASSWORD}@host/0")

    report = doctor("--no-provider")

    for name in ("MEMORY_DATABASE_URL", "MEMORY_DATABASE_READ_URL", "MEMORY_REDIS_URL"):
        assert f"problem: {name}: must be like " in report.said("settings")
    assert report.status == 1
    assert PASSWORD not in report.text


def test_the_env_file_is_read_before_its_values_are_used(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Set first, so that what the file sets is taken back.
    monkeypatch.setenv("RAY_DASHBOARD_ADDRESS", "")
    monkeypatch.delenv("RAY_DASHBOARD_ADDRESS")
    (tmp_path / ".env").write_text("RAY_DASHBOARD_ADDRESS=http://127.0.0.1:1\n")

    assert "problem: Ray's dashboard does not answer" in doctor("--no-provider").said("cluster")


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAY_DASHBOARD_ADDRESS", "127.0.0.1:8265"), ("RAY_AUTH_TOKEN", "hünter2"), ("RAY_AUTH_TOKEN_PATH", "{path}")],
)
def test_a_value_of_rays_that_makes_no_sense_is_a_finding_that_names_it(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    (tmp_path / "token").write_bytes(b"\xff")
    for each in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("RAY_DASHBOARD_ADDRESS", "http://127.0.0.1:1")
    monkeypatch.setenv(name, value.format(path=tmp_path / "token"))

    report = doctor("--no-provider")

    assert report.said("cluster").startswith("problem: ")
    assert name in report.said("cluster")
    assert report.status == 1
    assert "nter2" not in report.text


def test_nobody_answers_at_the_urls(doctor: Doctor) -> None:
    nowhere = "http://127.0.0.1:1"

    report = doctor("--no-provider", "--url", nowhere, "--dashboard", nowhere)

    assert "problem: The service does not answer" in report.said("service")
    assert "problem: Ray's dashboard does not answer" in report.said("cluster")
