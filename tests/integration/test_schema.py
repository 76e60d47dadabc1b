"""The schema's history, and what a database is refused for."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from deployments.errors import ConfigurationError
from deployments.schemas.vectors import EmbeddingSpace
from deployments.settings import Settings
from deployments.storage.postgres.schema import check, expected_revision, known_revisions, migrations, prepare, upgrade
from tests.integration.calls import error_of, message
from tests.integration.failing import Scripted
from tests.integration.postgres import SOURCE, SPACE, PostgresServer
from tests.integration.recount import recount_at
from tests.integration.service import create_service
from tests.paths import ROOT

OWN_OBJECTS = """
    SELECT 'table ' || relname || ' ' || relkind::text AS object FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    UNION ALL SELECT 'column ' || table_name || '.' || column_name || ' ' || udt_name || ' ' || is_nullable || ' '
           || coalesce(column_default, '')
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'function ' || pg_get_functiondef(p.oid) FROM pg_proc p
    WHERE pronamespace = 'public'::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    ORDER BY object
"""


@pytest.fixture
def empty_url(postgres: PostgresServer) -> Iterator[str]:
    """A database without any schema."""
    url = postgres.create(template="template1")
    yield url
    postgres.drop(url)


def fetch(url: str, query: str) -> list[Any]:
    async def ask() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [row[0] for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_the_files_of_the_migrations_tell_their_order() -> None:
    revisions = ScriptDirectory.from_config(migrations()).walk_revisions()

    assert known_revisions() == [each.revision for each in revisions][::-1]


def config_for(url: str) -> Config:
    config = migrations()
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def settings_for(url: str, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in {"MEMORY_DATABASE_URL": url, **environment}.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def refusal(settings: Settings) -> str:
    with pytest.raises(ConfigurationError) as raised:
        prepare(settings)
    assert "\n" not in raised.value.message
    return raised.value.message


def test_down_and_up_again_makes_the_same_schema(empty_url: str) -> None:
    upgrade(empty_url)
    first = fetch(empty_url, OWN_OBJECTS)
    assert any("messages_terms" in each for each in first)

    command.downgrade(config_for(empty_url), "base")
    assert {each.split()[1] for each in fetch(empty_url, OWN_OBJECTS) if each.startswith("table")} == {
        "alembic_version"
    }
    assert not [each for each in fetch(empty_url, OWN_OBJECTS) if each.startswith(("function", "trigger"))]

    upgrade(empty_url)
    assert fetch(empty_url, OWN_OBJECTS) == first


def test_the_newest_schema_is_left_as_it_is(empty_url: str) -> None:
    upgrade(empty_url)
    before = fetch(empty_url, OWN_OBJECTS)

    upgrade(empty_url)

    assert fetch(empty_url, OWN_OBJECTS) == before


def test_two_processes_that_upgrade_at_once_take_turns(empty_url: str) -> None:
    environment = {**os.environ, "MEMORY_DATABASE_URL": empty_url}
    command_line = [sys.executable, "-m", "alembic", "upgrade", "head"]

    both = [
        subprocess.Popen(command_line, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    errors = [process.communicate(timeout=60)[1] for process in both]

    assert [process.returncode for process in both] == [0, 0], errors
    assert fetch(empty_url, "SELECT version_num FROM alembic_version") == [expected_revision()]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_alembic_takes_every_url_that_the_service_takes(scheme: str, empty_url: str) -> None:
    url = f"{empty_url}&sslmode=prefer&target_session_attrs=any".replace("postgresql", scheme, 1)
    environment = {**os.environ, "MEMORY_DATABASE_URL": url}
    command_line = [sys.executable, "-m", "alembic", "upgrade", "head"]

    done = subprocess.run(command_line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert fetch(url.replace(scheme, "postgresql", 1), "SELECT version_num FROM alembic_version") == [
        expected_revision()
    ]


def test_migrations_run_where_there_is_no_checkout(empty_url: str, tmp_path: Path) -> None:
    environment = {**os.environ, "MEMORY_DATABASE_URL": empty_url, "PYTHONPATH": str(ROOT)}
    command_line = [sys.executable, "-m", "migrations", "upgrade", "head"]

    done = subprocess.run(command_line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert fetch(empty_url, "SELECT version_num FROM alembic_version") == [expected_revision()]


def test_alembic_says_in_one_line_that_it_needs_a_url() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MEMORY_DATABASE_URL"}
    command_line = [sys.executable, "-m", "alembic", "upgrade", "head"]

    done = subprocess.run(command_line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "MEMORY_DATABASE_URL" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_database_that_was_never_migrated_is_refused(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(settings_for(empty_url, monkeypatch))

    assert "alembic upgrade head" in line
    assert str(expected_revision()) in line


async def test_a_service_that_started_before_its_schema_waits_for_it(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Scripted()
    service = create_service(settings_for(empty_url, monkeypatch), provider)

    stored = await service.client.post("/v1/messages", json=message())
    readiness = await service.client.get("/v1/admin/readiness")
    assert (stored.status_code, readiness.status_code) == (503, 503)
    assert error_of(stored)["code"] == "database_unavailable"

    await asyncio.to_thread(upgrade, empty_url)
    async with asyncio.timeout(10):
        while (await service.client.get("/v1/admin/readiness")).status_code != 200:  # noqa: ASYNC110 - as it is asked
            await asyncio.sleep(0.05)
    assert (await service.client.post("/v1/messages", json=message())).status_code == 202
    await service.client.aclose()
    await service.database.close()
    await provider.close()


def test_a_database_of_an_older_revision_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(database_url, "UPDATE alembic_version SET version_num = '0001' RETURNING 1")

    line = refusal(settings_for(database_url, monkeypatch))

    assert "0001" in line
    assert str(expected_revision()) in line
    assert "alembic upgrade head" in line


def test_a_database_that_a_newer_version_migrated_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(database_url, "UPDATE alembic_version SET version_num = '9999' RETURNING 1")

    line = refusal(settings_for(database_url, monkeypatch))

    assert "9999, which this version does not know" in line
    assert "upgrade head" not in line


def test_an_empty_database_takes_on_the_embedding_space(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade(empty_url)

    prepare(settings_for(empty_url, monkeypatch, MEMORY_EMBEDDING_DIMENSIONS="128"))

    assert fetch(empty_url, "SELECT model || ' ' || dimensions FROM embedding_space") == ["wordllama/l2_supercat 128"]
    (index,) = fetch(empty_url, "SELECT indexdef FROM pg_indexes WHERE indexname = 'messages_embedding'")
    assert "USING hnsw" in index
    assert "halfvec(128)" in index


def test_the_same_space_is_accepted_again(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(database_url, monkeypatch)
    for _ in range(2):
        prepare(settings)

    assert fetch(database_url, "SELECT count(*) FROM embedding_space") == [1]


def test_replicas_that_start_at_once_record_one_space(empty_url: str) -> None:
    upgrade(empty_url)

    async def start() -> None:
        connection = await asyncpg.connect(empty_url)
        try:
            await check(connection, SOURCE)
        finally:
            await connection.close()

    async def start_all() -> None:
        await asyncio.gather(*(start() for _ in range(4)))

    asyncio.run(start_all())

    assert fetch(empty_url, "SELECT model FROM embedding_space") == [SPACE.model]


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({"MEMORY_EMBEDDING_DIMENSIONS": "128"}, EmbeddingSpace("wordllama/l2_supercat", 128)),
        (
            {
                "MEMORY_EMBEDDING_PROVIDER": "openai_compatible",
                "MEMORY_OPENAI_MODEL": "text-embedding-3-small",
                "MEMORY_EMBEDDING_DIMENSIONS": "256",
            },
            EmbeddingSpace("text-embedding-3-small", 256),
        ),
    ],
    ids=["other dimensions", "other model"],
)
def test_another_space_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], asked: EmbeddingSpace
) -> None:
    line = refusal(settings_for(database_url, monkeypatch, **environment))

    for word in (SPACE.model, str(SPACE.dimensions), asked.model, str(asked.dimensions)):
        assert word in line
    assert "MEMORY_EMBEDDING_PROVIDER" in line
    assert "MEMORY_EMBEDDING_DIMENSIONS" in line
    assert fetch(database_url, "SELECT dimensions FROM embedding_space") == [SPACE.dimensions]


def test_a_provider_without_its_key_does_not_claim_the_database(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(empty_url)
    monkeypatch.setenv("MEMORY_DATABASE_URL", empty_url)
    monkeypatch.setenv("MEMORY_EMBEDDING_PROVIDER", "google_gemini")
    monkeypatch.delenv("MEMORY_GEMINI_API_KEY", raising=False)

    with pytest.raises(ConfigurationError, match="MEMORY_GEMINI_API_KEY"):
        prepare(Settings.load())
    assert fetch(empty_url, "SELECT model FROM embedding_space") == []


# As the first version of the service stored it: what was said is indexed alone, with the name.
FIRST_VERSION = """
    INSERT INTO messages (id, tenant_id, conversation_id, role, name, content, embedding, embedding_status, terms,
                          archived, created_at, updated_at)
    SELECT gen_random_uuid(), 'tenant ' || n % 3, 'c1', 'user', name, said,
           CASE WHEN n % 4 > 1 THEN array_fill((n % 5 - 2.0)::real / 10, ARRAY[256])::vector::halfvec END,
           CASE WHEN n % 4 > 1 THEN 'completed' WHEN n % 4 = 1 THEN 'pending' ELSE 'failed' END,
           to_tsvector('english', concat_ws(' ', name, said)), n % 6 = 0, said_at, said_at
    FROM generate_series(1, 120) AS n, LATERAL (
        SELECT CASE WHEN n % 2 = 0 THEN 'Ada' END AS name, 'apples and pear' || n % 7 AS said,
               timestamptz '2023-05-31 23:30Z' + make_interval(days => n) AS said_at
    ) AS m
    RETURNING 1
"""
KEPT = """
    SELECT (to_jsonb(m) - ARRAY['terms', 'term_count', 'archived_at', 'archived_by', 'other_embedding', 'utc_offset',
                                'language', 'analysis', 'indexed', 'external_id', 'user_id', 'agent_id',
                                'ttl_seconds', 'expires_at', 'chat', 'version', 'kind', 'valid_from', 'valid_to',
                                'superseded_by', 'superseded_at'])::text
    FROM messages m
    UNION ALL SELECT tenant_id || ' ' || embedded FROM tenant_statistics ORDER BY 1
"""
WITHOUT_ITS_DATE = """
    SELECT count(*) FROM messages
    WHERE NOT terms @@ plainto_tsquery('english', to_char(created_at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY'))
"""
NOT_AS_STORED_TODAY = """
    SELECT count(*) FROM messages
    WHERE strip(terms) <> strip(message_terms('english', name, content, created_at))
       OR term_count <> term_count(message_terms('english', name, content, created_at))
"""


def test_what_the_first_version_stored_is_counted_and_found_by_its_date(empty_url: str) -> None:
    command.upgrade(config_for(empty_url), "0001")
    assert fetch(empty_url, WITHOUT_ITS_DATE) == [0]
    assert len(fetch(empty_url, FIRST_VERSION)) == fetch(empty_url, WITHOUT_ITS_DATE)[0] == 120
    before = fetch(empty_url, KEPT)

    upgrade(empty_url)

    counted = asyncio.run(recount_at(empty_url))
    assert set(counted) == {"tenant 0", "tenant 1", "tenant 2"}
    # Of each 12 messages 2 are archived, and of the others 3 pending; 6 of all have a vector.
    assert sum(each.messages for each in counted.values()) == 70
    assert sum(each.embedded for each in counted.values()) == 60
    assert fetch(empty_url, KEPT) == before
    assert fetch(empty_url, NOT_AS_STORED_TODAY) == [0]


def test_what_the_first_version_stored_counts_towards_its_quotas(empty_url: str) -> None:
    command.upgrade(config_for(empty_url), "0001")
    fetch(empty_url, FIRST_VERSION)
    waiting = "FROM messages WHERE embedding_status = 'pending'"
    fetch(empty_url, f"INSERT INTO embedding_jobs (message_id, tenant_id) SELECT id, tenant_id {waiting} RETURNING 1")

    upgrade(empty_url)

    settled = "sum(messages) || ' ' || sum(bytes) || ' ' || sum(embedded) FROM tenant_usage"
    assert fetch(empty_url, f"SELECT {settled}") == fetch(
        empty_url,
        "SELECT count(*) || ' ' || sum(octet_length(content)) || ' 0' FROM messages "
        "WHERE embedding_status <> 'pending'",
    )
    assert fetch(empty_url, "SELECT sum(bytes)::int FROM embedding_jobs") == fetch(
        empty_url, f"SELECT sum(octet_length(content))::int {waiting}"
    )


def test_back_at_the_first_version_all_is_as_it_was(empty_url: str) -> None:
    command.upgrade(config_for(empty_url), "0001")
    first = fetch(empty_url, OWN_OBJECTS)
    fetch(empty_url, FIRST_VERSION)
    before = fetch(empty_url, KEPT)
    upgrade(empty_url)
    assert fetch(empty_url, OWN_OBJECTS) != first

    command.downgrade(config_for(empty_url), "0001")

    assert fetch(empty_url, OWN_OBJECTS) == first
    assert fetch(empty_url, KEPT) == before
    # Its triggers count again: half as many rows have a vector as there are.
    fetch(empty_url, FIRST_VERSION)
    assert sum(fetch(empty_url, "SELECT embedded::integer FROM tenant_statistics")) == 120


def test_the_hnsw_index_is_built_anew_without_archived_messages_and_with_them_again(empty_url: str) -> None:
    of_index = "SELECT indexdef FROM pg_indexes WHERE indexname = 'messages_embedding'"
    command.upgrade(config_for(empty_url), "0005")
    fetch(empty_url, "SELECT create_embedding_space('a model', 256)")
    (before,) = fetch(empty_url, of_index)

    upgrade(empty_url)
    assert fetch(empty_url, of_index) == [f"{before} WHERE (indexed AND (NOT archived))"]
    fetch(empty_url, FIRST_VERSION)

    command.downgrade(config_for(empty_url), "0005")
    assert fetch(empty_url, of_index) == [before]


def test_there_and_back_again_says_a_date_once(empty_url: str) -> None:
    command.upgrade(config_for(empty_url), "0001")
    fetch(empty_url, FIRST_VERSION)
    for _ in range(2):
        upgrade(empty_url)
        assert fetch(empty_url, NOT_AS_STORED_TODAY) == [0]
        asyncio.run(recount_at(empty_url))
        command.downgrade(config_for(empty_url), "0001")
