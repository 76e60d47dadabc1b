"""The plans of what erases and moves a tenant, among many messages of others and its own."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from deployments.settings import DatabaseSettings
from deployments.storage.postgres.database import PoolSize
from deployments.storage.postgres.named_queries import load_queries
from tests.integration.explaining import ExplainingDatabase, indexes, scanned
from tests.integration.many_messages import alike

NOW = datetime.now(UTC)
MANY = 5_000
SPREAD = "UPDATE messages SET created_at = created_at + random() * interval '100 days'"
ANSWERS = """
    INSERT INTO idempotency_keys (tenant_id, key, fingerprint, answer)
    SELECT tenant_id, id::text, '', jsonb_build_object('id', id) FROM messages
"""
BY_TIME = "messages_tenant_time"
BY_CONVERSATION = "messages_conversation_time"
BY_USER = "messages_user"
POSITION = {"after": NOW, "after_id": uuid4(), "limit": 500}
ERASE = {"tenant_id": "large", "conversation_id": None, "user_id": None, "most_terms": 1000, **POSITION}

READ = {"tenant_id": "large", "with_vectors": True, **POSITION}


@pytest.fixture
async def explaining(database_url: str) -> AsyncIterator[ExplainingDatabase]:
    """Plans over a database with two large tenants and a small one, and the answers to all of their stores."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("ALTER TABLE messages DISABLE TRIGGER USER")
    for tenant, count in (("large", MANY), ("other", MANY), ("small", 5)):
        await connection.execute(alike(tenant, "apples", count))
    await connection.execute(SPREAD)
    await connection.execute(ANSWERS)
    await connection.execute("ANALYZE")
    await connection.close()
    database = ExplainingDatabase(database_url, DatabaseSettings(), PoolSize(0, 1))
    yield database
    await database.close()


@pytest.mark.parametrize(
    ("file", "query", "parameters", "needed"),
    [
        ("erasure", "erase_messages", ERASE, {BY_TIME, "idempotency_keys_message", "messages_pkey"}),
        (
            "erasure",
            "erase_messages",
            {**ERASE, "conversation_id": "c7"},
            {BY_CONVERSATION, "idempotency_keys_message"},
        ),
        ("erasure", "erase_messages", {**ERASE, "user_id": "ada"}, {BY_USER, "idempotency_keys_message"}),
        ("erasure", "erase_idempotency_keys", {"tenant_id": "large", "limit": 500}, {"idempotency_keys_pkey"}),
        ("transfer", "read_snapshot", {**READ, "user_id": None}, {BY_TIME}),
        ("transfer", "read_snapshot", {**READ, "user_id": "ada"}, {BY_USER}),
    ],
)
async def test_no_part_goes_through_all(
    file: str, query: str, parameters: dict[str, Any], needed: set[str], explaining: ExplainingDatabase
) -> None:
    async with explaining.connection() as connection:
        asked = getattr(load_queries(file), query)(connection, **parameters)
        if hasattr(asked, "__aiter__"):
            async for _ in asked:
                pass
        else:
            await asked

    assert needed <= indexes(explaining.plan)
    # There are no jobs, facts or earlier versions here: their tables are empty. The one of the space has one row.
    assert scanned(explaining.plan) <= {"embedding_jobs", "embedding_space", "fact_sources", "message_history"}
