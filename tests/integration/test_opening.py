"""How a replica comes by its database: which one, and with how many connections."""

from collections.abc import Iterator

import pytest

from deployments.errors import ConfigurationError
from deployments.runtime.database import check_nodes, open_database
from deployments.settings import Settings
from deployments.storage.postgres.database import PoolSize, pool_size
from tests.integration.postgres import PostgresServer


@pytest.fixture
def read_url(postgres: PostgresServer) -> Iterator[str]:
    """Another database, in the place of a read replica."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.mark.parametrize(("reads_only", "replica"), [(True, True), (False, False)])
async def test_searches_alone_read_from_the_read_url(
    settings: Settings, read_url: str, monkeypatch: pytest.MonkeyPatch, reads_only: bool, replica: bool
) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_READ_URL", read_url)

    database = await open_database(Settings.load(), PoolSize(0, 1), reads_only=reads_only)

    async with database.connection() as connection:
        connected_to = await connection.fetchval("SELECT current_database()")
    await database.close()
    assert (f"/{connected_to}?" in read_url) is replica


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("pgbouncer=true", 'unrecognized configuration parameter "pgbouncer"'),
        ("work_mem=much", 'invalid value for parameter "work_mem": "much"'),
        ("sslmode=sometimes", "`sslmode` parameter must be one of"),
        ("target_session_attrs=best", "target_session_attrs"),
    ],
)
async def test_an_option_of_the_url_that_cannot_be_used_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, option: str, reason: str
) -> None:
    assert settings.database.url is not None
    monkeypatch.setenv("MEMORY_DATABASE_URL", f"{settings.database.url.get_secret_value()}&{option}")

    with pytest.raises(ConfigurationError) as refused:
        await open_database(Settings.load(), PoolSize(0, 1))

    assert refused.value.message.startswith("The database's URL asks for what cannot be: ")
    assert reason in refused.value.message


async def test_without_a_read_url_searches_read_from_the_only_one(settings: Settings) -> None:
    database = await open_database(settings, PoolSize(0, 1), reads_only=True)

    async with database.connection() as connection:
        assert str(await connection.fetchval("SELECT current_database()")).startswith("test_")
    await database.close()


@pytest.mark.parametrize(
    ("min_size", "overflow", "expected"),
    [
        (None, None, PoolSize(2, 8)),
        ("3", None, PoolSize(3, 3)),
        ("3", "4", PoolSize(3, 7)),
        (None, "4", PoolSize(2, 6)),
        ("20", None, PoolSize(20, 20)),
    ],
)
async def test_the_environment_takes_the_place_of_the_configs_pool_size(
    min_size: str | None, overflow: str | None, expected: PoolSize, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"POOL_SIZE": min_size, "MAX_OVERFLOW": overflow}.items():
        if value is not None:
            monkeypatch.setenv(f"MEMORY_DATABASE_{name}", value)

    assert pool_size(Settings.load().database, PoolSize(2, 8)) == expected


async def test_a_pool_opens_no_more_connections_than_it_may(settings: Settings) -> None:
    database = await open_database(settings, PoolSize(1, 3))
    async with database.connection() as one, database.connection() as two, database.connection() as three:
        assert len({await each.fetchval("SELECT pg_backend_pid()") for each in (one, two, three)}) == 3
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        assert await one.fetchval(count) == 3
    await database.close()


def test_an_embedded_postgres_on_several_nodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMORY_DATABASE_URL", raising=False)

    check_nodes(Settings.load(), 1)
    with pytest.raises(ConfigurationError, match="MEMORY_DATABASE_URL is not set, but the cluster has 2 nodes"):
        check_nodes(Settings.load(), 2)


def test_a_database_of_ones_own_serves_any_number_of_nodes(settings: Settings) -> None:
    check_nodes(settings, 5)
