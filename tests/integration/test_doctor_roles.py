"""`python -m jobs.doctor` as a role that may do little, and over a connection that goes wrong."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from deployments.settings import Settings
from deployments.storage.inspection import WRITTEN_TABLES, Inspection, inspecting
from jobs.doctor import database, examination
from jobs.doctor.findings import Finding
from tests.integration.examining import PASSWORD, SWITCHED_OFF, Doctor, calls_of, execute


@pytest.fixture
def doctor(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Runs it on the test's database."""
    return calls_of(monkeypatch, tmp_path, capsys)


@pytest.fixture
def role(doctor: Doctor, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A role that may connect and no more, which the doctor runs as."""
    name = f"plain_{uuid4().hex[:8]}"
    execute(database_url, f"CREATE ROLE {name} LOGIN")
    monkeypatch.setenv("MEMORY_DATABASE_URL", url_as(name, database_url))
    yield name
    execute(database_url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def url_as(role: str, url: str) -> str:
    return url.replace("postgres@", f"{role}@")


def may_use_the_tables(url: str, role: str) -> None:
    execute(url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")


def test_a_role_that_may_do_nothing_is_told_what_it_needs(doctor: Doctor, role: str) -> None:
    report = doctor("--no-provider")

    assert f"problem: The role {role} may not both read and write {', '.join(WRITTEN_TABLES)}." in report.said(
        "database.rights"
    )
    assert f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}" in report.text
    assert "permission denied for table alembic_version" in report.said("database.schema")
    assert "fault of ours" not in report.text
    assert report.status == 1


def test_a_role_that_may_only_read_is_told_and_the_rest_is_looked_at(
    doctor: Doctor, role: str, database_url: str
) -> None:
    execute(database_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")

    report = doctor("--no-provider")

    assert report.wrong() - SWITCHED_OFF == {"database.rights"}
    assert '"check": "embeddings.backlog"' in report.text


def test_a_table_that_the_role_may_not_read_is_named(doctor: Doctor, role: str, database_url: str) -> None:
    may_use_the_tables(database_url, role)
    execute(database_url, f"REVOKE ALL ON api_keys FROM {role}")
    # Root keys spare the look.
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MEMORY_API_KEYS")
        report = doctor("--no-provider")

    assert "problem: The database's role may not look: permission denied for table api_keys" in report.said("keys")


def test_a_schema_that_the_role_may_not_use_is_not_taken_for_none(doctor: Doctor, role: str, database_url: str) -> None:
    may_use_the_tables(database_url, role)
    execute(database_url, "REVOKE USAGE ON SCHEMA public FROM PUBLIC")

    report = doctor("--no-provider")

    assert f"GRANT USAGE ON SCHEMA public TO {role}" in report.said("database.rights")
    assert report.said("database.schema").startswith("skipped: ")
    assert "upgrade head" not in report.text


def test_what_others_migrate_in_a_schema_of_their_own_is_theirs(doctor: Doctor, role: str, database_url: str) -> None:
    may_use_the_tables(database_url, role)
    execute(database_url, "CREATE SCHEMA shop", "CREATE TABLE shop.alembic_version (version_num text)")

    report = doctor("--no-provider")

    assert report.said("database.rights") == report.said("database.schema") == ""
    assert "shop" not in report.text


@contextmanager
def forgotten(url: str) -> Iterator[None]:
    """A superuser's transaction that is open."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url, server_settings={"application_name": "forgotten"}))
        runner.run(connection.execute("BEGIN; SELECT count(*) FROM tenant_usage"))
        try:
            yield
        finally:
            runner.run(connection.close())


def test_transactions_that_the_role_may_not_see_are_not_said_to_be_well(
    doctor: Doctor, role: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LONG_TRANSACTION_SECONDS", 0)
    may_use_the_tables(database_url, role)
    with forgotten(database_url):
        blind = doctor("--no-provider")
        execute(database_url, f"GRANT pg_read_all_stats TO {role}")
        seeing = doctor("--no-provider")

    assert blind.said("database.transactions").startswith("skipped: What other roles do in 1 sessions is hidden")
    assert f"GRANT pg_read_all_stats TO {role}" in blind.said("database.transactions")
    assert "None is open for long" not in blind.text
    assert seeing.said("database.transactions").startswith("warning: A transaction of forgotten")


async def test_a_plain_role_counts_the_connections_of_others_as_a_superuser_does(
    role: str, database_url: str, settings: Settings
) -> None:
    async def others(url: str) -> int:
        async with inspecting(url, settings.database) as inspection:
            return (await inspection.connection_limits()).others

    connection = await asyncpg.connect(database_url, server_settings={"application_name": "pg_dump"})
    try:
        seen = [await others(url) for url in (database_url, url_as(role, database_url))]
    finally:
        await connection.close()

    assert seen[0] == seen[1] >= 1


def test_whatever_keeps_the_driver_from_connecting_is_a_finding(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg reads PGPORT where the URL names no port."""
    monkeypatch.setenv("PGPORT", PASSWORD)
    for name in ("MEMORY_DATABASE_URL", "MEMORY_DATABASE_READ_URL"):
        monkeypatch.setenv(name, f"postgresql://someone:{PASSWORD}@127.0.0.1/db")

    report = doctor("--no-provider")

    for check in ("database", "database.read"):
        assert "problem: The database cannot be reached: the driver gives up with ValueError" in report.said(check)
    assert PASSWORD not in report.text


def test_a_connection_that_breaks_is_not_taken_for_a_fault_of_ours(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(inspection: Inspection, _: Settings) -> list[Finding]:
        await inspection._connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return []

    monkeypatch.setattr(examination, "DATABASE_CHECKS", {"database.server": cut})

    report = doctor("--no-provider")

    assert "problem: The database does not say: " in report.said("database.server")
    assert "problem: The connection to the database broke: " in report.said("database.schema")
    assert "fault of ours" not in report.text
