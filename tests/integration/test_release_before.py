"""Code of the release before on this schema, and what it stored: Postgres' parser made its terms."""

import asyncio

import pytest
from alembic import command

from deployments.schemas.erasure import Erasure
from deployments.schemas.search import Weights
from deployments.storage.postgres.schema import upgrade
from tests.integration.calls import found, store
from tests.integration.reanalyzing import reanalyze_all
from tests.integration.recount import make_large, recounted
from tests.integration.service import Service
from tests.integration.test_schema import config_for, fetch

WORDS_ALONE = {**dict.fromkeys(Weights.model_fields, 0), "words": 1}
# As it stores and changes a message: nothing is said of a policy.
STORED_BEFORE = """
    INSERT INTO messages (id, tenant_id, conversation_id, role, content, embedding_status, created_at, updated_at,
                          terms)
    SELECT gen_random_uuid(), 'acme', content, 'user', content, 'failed', said_at, said_at,
           message_terms('english'::regconfig, NULL, content, said_at)
    FROM (SELECT 'apples and pears ' || n AS content, timestamptz '2026-10-31 06:30Z' AS said_at
          FROM generate_series(1, 3) AS n) AS said
    RETURNING 1
"""
CHANGED_BEFORE = """
    UPDATE messages SET content = 'the quince', updated_at = now(),
                        terms = message_terms('english'::regconfig, NULL, 'the quince', created_at)
    WHERE content LIKE '%1' OR content LIKE 'user-7@%' RETURNING 1
"""
FOUND_BEFORE = """
    SELECT content FROM messages WHERE terms @@ plainto_tsquery('english', 'quince') ORDER BY content
"""


async def test_the_release_before_works_on_this_schema_and_what_it_stores_is_analysed_anew(service: Service) -> None:
    await store(service, "user-7@example.org is stored now")
    async with service.database.connection() as connection:
        assert len(await connection.fetch(STORED_BEFORE)) == 3
        assert len(await connection.fetch(CHANGED_BEFORE)) == 2
        assert len(await connection.fetch(FOUND_BEFORE)) == 2
    await service.embed_all()
    assert await found(service, "quince", weights=WORDS_ALONE, min_score=0.1) == ["the quince"] * 2

    assert await reanalyze_all(service) == ["acme"]

    assert await found(service, "quince", weights=WORDS_ALONE, min_score=0.1) == ["the quince"] * 2
    async with service.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM messages WHERE analysis IS NULL") == 0
    await recounted(service)
    assert await reanalyze_all(service) == []


async def test_a_database_of_the_release_before_is_searched_while_it_is_migrated_and_goes_back(
    service: Service, database_url: str
) -> None:
    await asyncio.to_thread(command.downgrade, config_for(database_url), "0009")
    async with service.database.connection() as connection:
        await connection.fetch(STORED_BEFORE)
    before = await asyncio.to_thread(fetch, database_url, "SELECT terms::text FROM messages ORDER BY content")

    await asyncio.to_thread(upgrade, database_url)
    assert len(await found(service, "apple")) == 3
    assert await reanalyze_all(service) == ["acme"]
    assert len(await found(service, "apple")) == 3
    await store(service, "Sent at night", created_at="2026-10-30T23:30:00-07:00", language="de")
    await service.embed_all()

    await asyncio.to_thread(command.downgrade, config_for(database_url), "0009")
    after = await asyncio.to_thread(fetch, database_url, "SELECT terms::text FROM messages ORDER BY content")
    assert set(before) < set(after)
    assert "'31'" in (set(after) - set(before)).pop()
    kept = "SELECT messages FROM tenant_statistics UNION ALL SELECT max(messages) FROM tenant_terms"
    assert await asyncio.to_thread(fetch, database_url, kept) == [4, 4]


# As the release before 0012 finds: it knows of no row that is not indexed, and names no large tenant.
NEAREST_BEFORE = """
    SELECT content FROM messages WHERE tenant_id = 'acme' AND NOT archived
    ORDER BY embedding::halfvec(256) <=> (SELECT embedding FROM messages WHERE content = 'a pear') LIMIT 3
"""
WITH_WORD_BEFORE = """
    SELECT content FROM messages WHERE tenant_id = 'acme' AND NOT archived
      AND term_keys(tenant_id, terms) && ARRAY[term_key('acme', 'pear')]
"""


@pytest.mark.parametrize("large", [False, True])
async def test_the_release_before_finds_all_without_the_indexes_of_large_tenants(service: Service, large: bool) -> None:
    if large:
        await make_large(service, "acme")
    for content in ("a pear", "two plums", "three figs"):
        await store(service, content)
    await service.embed_all()
    async with service.database.connection() as connection:
        await connection.fetch(STORED_BEFORE)
        await connection.execute("DELETE FROM messages WHERE content LIKE '% 3'")
        marked = await connection.fetchval("SELECT count(*) FROM messages WHERE indexed")

        assert marked == (5 if large else 0)
        assert {row["content"] for row in await connection.fetch(NEAREST_BEFORE)} >= {"a pear", "two plums"}
        assert len(await connection.fetch(WITH_WORD_BEFORE)) == 3
        assert await connection.fetchval("SELECT embedded FROM tenant_statistics") == 3
    await recounted(service)


# As the release before 0014 changes and erases: it knows the columns of receipts, and none other.
METADATA_BEFORE = """
    UPDATE messages SET name = name, content = content, metadata = '{"a": 1}', importance_override = NULL,
                        language = language, updated_at = now()
"""


async def test_what_the_release_before_changes_is_in_the_history_and_it_knows_its_receipts(service: Service) -> None:
    stored = await store(service, "a pear", metadata={"b": 2})
    async with service.database.connection() as connection:
        for _ in range(2):
            await connection.execute(METADATA_BEFORE)
        columns = await connection.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'erasures'"
        )

    versions = (await service.client.get(f"/v1/messages/{stored['id']}/history")).json()["items"]

    assert [each["metadata"] for each in versions] == [{"a": 1}, {"b": 2}]
    assert {row["column_name"] for row in columns} == set(Erasure.model_fields) - {
        "status",
        "earlier_versions",
        "user_id",
    }


async def test_a_job_goes_with_its_message_whoever_deletes_it(service: Service) -> None:
    await store(service, "a pear")
    async with service.database.connection() as connection:
        await connection.execute("DELETE FROM messages")
        assert await connection.fetchval("SELECT count(*) FROM embedding_jobs") == 0


async def test_what_is_counted_is_whole_again_before_0012_and_without_terms_after_it(
    service: Service, database_url: str
) -> None:
    for content in ("a pear", "two pears"):
        await store(service, content)
    await service.embed_all()
    terms = "SELECT count(*) || ' ' || coalesce(max(messages), 0) FROM tenant_terms"
    sums = "SELECT count(embedding_sum) FROM tenant_statistics"

    await asyncio.to_thread(command.downgrade, config_for(database_url), "0011")
    assert await asyncio.to_thread(fetch, database_url, terms) != ["0 0"]
    assert await asyncio.to_thread(fetch, database_url, sums) == [1]

    await asyncio.to_thread(upgrade, database_url)
    assert await asyncio.to_thread(fetch, database_url, terms) == ["0 0"]
    assert (await recounted(service))["acme"].embedded == 2
    assert len(await found(service, "pear")) == 2
