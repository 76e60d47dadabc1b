"""`python -m jobs.doctor`: each fault is made for real, and named with what to do about it."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deployments.settings import Settings
from deployments.storage.inspection import INDEXES, VECTOR_INDEX, inspecting
from jobs.doctor import database, examination
from jobs.doctor.command import main
from tests.integration.examining import PASSWORD, Doctor, Report, calls_of, execute
from tests.integration.moving import fill
from tests.integration.postgres import PostgresServer, fast_directory


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server of its own, which keeps what it is given, and may be stopped."""
    with tempfile.TemporaryDirectory(prefix="ml-doctor-", dir=fast_directory()) as directory:
        server = PostgresServer(Path(directory))
        server.execute("ALTER SYSTEM RESET ALL")
        server.execute("SELECT pg_reload_conf()")
        yield server
        server.stop()


@pytest.fixture
def doctor(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Runs it on the test's database."""
    return calls_of(monkeypatch, tmp_path, capsys)


def test_an_installation_that_is_well(doctor: Doctor) -> None:
    report = doctor("--strict")

    assert (report.status, report.wrong()) == (0, set()), report.text
    assert set(report.body) == {"status", "version", "counts", "findings"}
    assert (report.body["status"], report.body["counts"]["problem"]) == ("ok", 0)
    assert {each["check"] for each in report.body["findings"] if each["outcome"] == "skipped"} == {
        "redis",
        "reranker",
        "cluster",
        "service",
    }
    assert set(report.body["findings"][0]) == {"check", "outcome", "said", "advice", "command"}


def test_people_get_a_list_with_what_to_do(
    doctor: Doctor, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(database_url, "DROP INDEX messages_terms")

    assert main(["--no-provider"]) == 1
    lines = capsys.readouterr().out.splitlines()

    (line,) = [number for number, text in enumerate(lines) if text.startswith("problem") and "messages_terms" in text]
    assert lines[line + 1].strip().startswith("->")
    assert lines[line + 2].strip().startswith("$")
    assert lines[-1].startswith("problem: ")


HNSW = "CREATE INDEX messages_embedding ON messages USING hnsw ((embedding::halfvec(128)) halfvec_cosine_ops)"
NOT_VALID = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'messages_terms'::regclass"
OTHER_SPACE = (
    "UPDATE embedding_space SET other_provider = 'local', other_model = model, other_dimensions = 128, "
    "other_since = now(), other_state = "
)
READ_ONLY = (
    "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END$$"
)
WAITING = "INSERT INTO embedding_jobs (message_id, tenant_id, bytes, failed, available_at) SELECT id, tenant_id, 1"
NO_STATISTICS = (
    "ALTER TABLE tenant_terms SET (autovacuum_enabled = false)",
    "INSERT INTO tenant_terms SELECT 'acme', 'term' || n, 1 FROM generate_series(1, 100) n",
    "SELECT pg_stat_force_next_flush()",
)

FAULTS = {
    "an index is gone": (("DROP INDEX messages_terms",), "database.indexes", "messages_terms is missing"),
    "the vectors' index is gone": (("DROP INDEX messages_embedding",), "database.indexes", "_embedding is missing"),
    "an index is not valid": ((NOT_VALID,), "database.indexes", "REINDEX INDEX CONCURRENTLY messages_terms"),
    "the vectors' index is of another space": (
        ("DROP INDEX messages_embedding", HNSW),
        "database.indexes",
        "does not fit the active space of 256 dimensions",
    ),
    "an older schema": (
        ("UPDATE alembic_version SET version_num = '0001'",),
        "database.schema",
        "alembic upgrade head",
    ),
    "a newer schema": (
        ("UPDATE alembic_version SET version_num = '9999'",),
        "database.schema",
        "a newer version has migrated it",
    ),
    "no schema": (("DROP TABLE alembic_version",), "database.schema", "at revision none"),
    "no extension": (("DROP EXTENSION vector CASCADE",), "database.extension", "but not in this database"),
    "another space": (
        ("UPDATE embedding_space SET dimensions = 128",),
        "database.embedding_space",
        "problem: The settings ask for wordllama/l2_supercat with 256 dimensions, but the database holds",
    ),
    "a re-embedding that was left": ((f"{OTHER_SPACE}'next'",), "database.reembedding", "was left at 0 of 0"),
    "a space that was left": ((f"{OTHER_SPACE}'previous'",), "database.embedding_space", "jobs.reembed --drop"),
    "a replica that cannot embed in the next space": (
        (f"{OTHER_SPACE}'next', trouble = 'No key.', trouble_at = now()",),
        "database.reembedding",
        "cannot embed in wordllama/l2_supercat with 128 dimensions: No key.",
    ),
    "a database with few connections": (
        ("DO $$BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 5', current_database()); END$$",),
        "connections",
        "but Postgres allows us 5",
    ),
    "a database that is read only": ((READ_ONLY,), "database.server", "It takes no writes"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_database_is_named(doctor: Doctor, database_url: str, fault: str) -> None:
    statements, check, words = FAULTS[fault]
    execute(database_url, *statements)

    report = doctor("--no-provider", "--strict")

    assert words in report.said(check), report.text
    assert report.status == 1


def test_messages_that_wait_and_that_were_given_up(doctor: Doctor, database_url: str) -> None:
    fill(database_url, 4)
    execute(
        database_url,
        "DELETE FROM embedding_jobs",
        f"{WAITING}, false, now() - interval '1 hour' FROM messages WHERE tenant_id = 'acme' ORDER BY id LIMIT 2",
        f"{WAITING}, true, now() FROM messages WHERE tenant_id = 'acme' ORDER BY id OFFSET 2",
    )
    report = doctor("--no-provider")

    assert "2 messages wait for their embedding, the first for 60 minutes" in report.said("embeddings.backlog")
    assert "/v1/admin/embeddings/retry" in report.said("embeddings.failed")
    assert report.status == 0
    assert doctor("--no-provider", "--strict").status == 1


def test_a_large_table_without_statistics(doctor: Doctor, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "ROWS_WITHOUT_STATISTICS", 10)
    execute(database_url, *NO_STATISTICS)

    assert "ANALYZE tenant_terms" in doctor("--no-provider").said("database.statistics")


async def test_a_transaction_that_holds_back_vacuum(
    doctor: Doctor, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LONG_TRANSACTION_SECONDS", 0)
    connection = await asyncpg.connect(database_url, server_settings={"application_name": "forgotten"})
    async with connection.transaction():
        await connection.fetchval("SELECT count(*) FROM tenant_usage")
        report = await asyncio.to_thread(doctor, "--no-provider")
        pid = connection.get_server_pid()
    await connection.close()

    assert f"pg_terminate_backend({pid})" in report.said("database.transactions")
    assert "forgotten" in report.said("database.transactions")


def test_switches_of_postgres_that_lose_what_was_acknowledged(doctor: Doctor, postgres: PostgresServer) -> None:
    postgres.execute("ALTER SYSTEM SET fsync = off")
    postgres.execute("ALTER SYSTEM SET synchronous_commit = off")
    postgres.execute("SELECT pg_reload_conf()")
    try:
        said = doctor("--no-provider").said("database.durability")
    finally:
        postgres.execute("ALTER SYSTEM RESET ALL")
        postgres.execute("SELECT pg_reload_conf()")

    assert "problem: fsync is off" in said
    assert "problem: synchronous_commit is off" in said
    assert "full_page_writes" not in said


def test_pools_that_postgres_does_not_allow(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_POOL_SIZE", "60")

    said = doctor("--no-provider").said("connections")

    assert "problem: The pools of serve_config.yaml add up to" in said
    assert "Ingress 2 x 61" in said


@pytest.mark.parametrize(
    ("environment", "words"),
    [("production", "problem: There is no API key"), ("development", "warning: There is no API key")],
)
def test_no_key(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, environment: str, words: str) -> None:
    monkeypatch.delenv("MEMORY_API_KEYS")
    monkeypatch.setenv("MEMORY_ENVIRONMENT", environment)

    assert words in doctor("--no-provider").said("keys")


def test_a_database_that_stopped(doctor: Doctor, postgres: PostgresServer) -> None:
    postgres.stop()
    try:
        report = doctor()
    finally:
        postgres.start()

    assert report.status == 1
    assert "problem: The database cannot be reached" in report.said("database")
    assert report.wrong() == {"database"}


@pytest.mark.parametrize("place", ["@127.0.0.1:1/db", "@no-such-host.invalid/db"])
def test_a_database_that_is_not_there_and_its_password(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_URL", f"postgresql://someone:{PASSWORD}{place}")

    report = doctor("--no-provider")
    main(["--no-provider"])
    printed = capsys.readouterr()

    assert "problem: The database cannot be reached" in report.said("database")
    assert PASSWORD not in report.text + printed.out + printed.err


def test_a_user_that_the_database_refuses(doctor: Doctor, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_URL", database_url.replace("postgres@", f"stranger:{PASSWORD}@"))

    report = doctor("--no-provider")

    assert 'role "stranger" does not exist' in report.said("database")
    assert PASSWORD not in report.text


def test_a_check_that_breaks_is_a_finding_and_stops_no_other(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(*_: object) -> Any:
        raise ZeroDivisionError(PASSWORD)

    checks = {**examination.DATABASE_CHECKS, "database.server": breaks}
    monkeypatch.setattr(examination, "DATABASE_CHECKS", checks)
    report = doctor("--no-provider")

    assert "warning: The check itself broke: ZeroDivisionError" in report.said("database.server")
    assert report.wrong() == {"database.server"}
    assert PASSWORD not in report.text


async def test_the_indexes_that_are_looked_for_are_those_that_the_migrations_make(settings: Settings) -> None:
    assert settings.database.url is not None
    async with inspecting(settings.database.url.get_secret_value(), settings.database) as inspection:
        made = {index.name for index in await inspection.indexes()}

    assert made == INDEXES | {VECTOR_INDEX}


def test_a_reembedding_that_runs_is_not_taken_for_one_that_was_left(doctor: Doctor, database_url: str) -> None:
    """Known by the lock that the job holds."""
    execute(database_url, f"{OTHER_SPACE}'next'")

    async def while_it_runs() -> Report:
        connection = await asyncpg.connect(database_url)
        assert await connection.fetchval("SELECT pg_try_advisory_lock(7205759403792795)")
        try:
            return await asyncio.to_thread(doctor, "--no-provider")
        finally:
            await connection.close()

    report = asyncio.run(while_it_runs())

    assert report.said("database.reembedding") == ""
    assert "A job is re-embedding" in report.text
