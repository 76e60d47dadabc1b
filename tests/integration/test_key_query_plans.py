"""The plans of what is asked of the keys again and again, among many of them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from deployments.settings import DatabaseSettings
from deployments.storage.postgres.database import PoolSize
from deployments.storage.postgres.named_queries import load_queries
from tests.integration.explaining import ExplainingDatabase, indexes, scanned

NOW = datetime.now(UTC)
MANY = """
    INSERT INTO api_keys (id, name, prefix, hash, tenant_id, scopes, created_at, changed_at)
    SELECT gen_random_uuid(), 'many', 'aml_' || n, sha256(n::text::bytea), 'tenant-' || n % 500, '{read}',
           now() - make_interval(hours => n), now() - make_interval(hours => n)
    FROM generate_series(1, 20000) AS n
"""


@pytest.fixture
async def explaining(database_url: str) -> AsyncIterator[ExplainingDatabase]:
    """Plans over a database with 20,000 keys."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(MANY)
    await connection.execute("ANALYZE api_keys")
    await connection.close()
    database = ExplainingDatabase(database_url, DatabaseSettings(), PoolSize(0, 1))
    yield database
    await database.close()


@pytest.mark.parametrize(
    ("query", "parameters", "index"),
    [
        ("changed_keys", {"since": NOW}, "api_keys_changed_at"),
        ("list_keys", {"tenant_id": "tenant-7", "before": None, "before_id": None, "limit": 50}, "api_keys_tenant"),
        ("list_keys", {"tenant_id": None, "before": None, "before_id": None, "limit": 50}, "api_keys_created_at"),
    ],
)
async def test_no_read_goes_through_all_keys(
    query: str, parameters: dict[str, Any], index: str, explaining: ExplainingDatabase
) -> None:
    async with explaining.connection() as connection:
        async for _ in getattr(load_queries("api_keys"), query)(connection, **parameters):
            pass

    assert indexes(explaining.plan) == {index}
    assert scanned(explaining.plan) == set()
