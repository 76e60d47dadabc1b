"""The recall audit over a real Postgres whose indexes are whole, or have really lost something."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from deployments.schemas.search import SearchRequest
from deployments.search.recall import audit as recall_audit
from deployments.search.recall.audit import RecallAudit
from deployments.settings import Settings
from deployments.storage.postgres import database as pools
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.search.candidate_search import VectorScan
from deployments.storage.search.candidates import CandidateRepository
from deployments.storage.search.exact_order import ExactOrderRepository, Reference
from tests.integration.auditing import (
    HNSW,
    MANY,
    NEARER,
    QUERY,
    Audited,
    execute,
    out_of_order,
    plan_as_if_large,
    store,
)
from tests.integration.calls import analyzed
from tests.integration.polling import until
from tests.paths import ROOT


@pytest.fixture
async def database(database_url: str, settings: Settings) -> AsyncIterator[Database]:
    """A pool as a replica has one."""
    database = Database(database_url, settings.database, PoolSize(min_size=1, max_size=2))
    yield database
    await database.close()


async def test_an_index_that_is_whole_finds_all(database_url: str, database: Database, settings: Settings) -> None:
    await plan_as_if_large(database_url)
    await store(database_url, *MANY)
    await store(database_url, *NEARER, tenant_id="another")
    audited = Audited(database, settings)

    assert await audited.search() == 10
    with capture_logs() as logs:
        assert await audited.audit.audit_next() > 0

    assert audited.outcomes() == {("under_1k", "compared"): 1}
    assert audited.recall() == 1
    assert logs == []


async def test_an_hnsw_index_that_has_lost_messages_is_seen(
    database_url: str, database: Database, settings: Settings
) -> None:
    await plan_as_if_large(database_url)
    await store(database_url, *MANY)
    async with out_of_order(database_url, HNSW):
        await store(database_url, *NEARER)
    audited = Audited(database, settings)

    assert await audited.search() == 10, "nobody sees it from the answer"
    with capture_logs() as logs:
        await audited.audit.audit_next()

    assert audited.recall() == 0
    assert logs == [
        {
            "event": "recall_low",
            "log_level": "warning",
            "tenant_id": "acme",
            "tenant_size": "under_1k",
            "recall": 0.0,
            "missing": 10,
            "scan": "walk",
            "reference": "table",
        }
    ]


async def test_built_anew_as_the_documentation_says_the_index_finds_all(
    database_url: str, database: Database, settings: Settings
) -> None:
    await plan_as_if_large(database_url)
    await store(database_url, *MANY)
    async with out_of_order(database_url, HNSW):
        await store(database_url, *NEARER)
    (command,) = re.findall(r"`(REINDEX [^`]+);`", (ROOT / "docs" / "recall-audit.md").read_text())
    audited = Audited(database, settings)

    await execute(database_url, command)
    await audited.search()
    await audited.audit.audit_next()

    assert audited.recall() == 1


async def test_a_search_that_measured_all_is_not_audited(
    database_url: str, database: Database, settings: Settings
) -> None:
    await store(database_url, 1, 2, 3)
    await execute(database_url, "UPDATE large_tenants SET state = 'growing'")
    audited = Audited(database, settings)

    assert await audited.search() == 3

    assert await audited.audit.audit_next() == 0
    assert audited.outcomes() == {}


async def test_the_log_names_the_search_that_lost_something(
    database_url: str, database: Database, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await plan_as_if_large(database_url)
    await store(database_url, *MANY)
    async with out_of_order(database_url, HNSW):
        await store(database_url, *NEARER)
    audited = Audited(database, settings)
    await audited.search()
    capsys.readouterr()

    await audited.audit.audit_next()

    line = capsys.readouterr().out
    assert "recall_low" in line
    assert "request_id=r-7" in line
    assert "secret" not in line


async def test_where_the_walk_falls_short_as_the_peers_do_the_exact_search_finds_all(
    database_url: str, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One index for all tenants, filtered afterwards, and no walking on: a small tenant gets nothing from it."""
    monkeypatch.setitem(pools.SESSION, "hnsw.iterative_scan", "off")
    monkeypatch.setitem(pools.SESSION, "hnsw.ef_search", "10")
    await plan_as_if_large(database_url)
    await store(database_url, *NEARER, tenant_id="large")
    await store(database_url, *MANY[-30:])
    audited = Audited(database, settings)
    request = SearchRequest(tenant_id="acme", query=".")
    walked = await CandidateRepository(database, audited.settings).find(
        request, analyzed(request), QUERY, exact=False, limit=40
    )
    compared = await ExactOrderRepository(database, audited.settings).compare(request, QUERY)
    await audited.search()
    await audited.audit.audit_next()

    assert walked.corpus.near == 0
    assert compared is not None
    assert (compared.scan, compared.reference) == (VectorScan.EXACT_AFTER_WALK, Reference.TABLE)
    assert audited.recall() == 1


FILTERS: dict[str, Any] = {
    "conversation_id": "c2",
    "role": "assistant",
    "metadata": {"a": 1},
    "min_importance": 0.6,
    "created_after": "2026-06-01T00:00:00Z",
    "created_before": "2026-05-01T00:00:00Z",
    "include_archived": True,
}
FITTING: dict[str, dict[str, Any]] = {
    "conversation_id": {"conversation_id": "c2"},
    "role": {"role": "assistant"},
    "metadata": {"metadata": '{"a": 1, "b": 2}'},
    "min_importance": {"importance": 0.7},
    "created_after": {"created_at": datetime.fromisoformat("2026-06-02T00:00:00Z")},
    "created_before": {"created_at": datetime.fromisoformat("2026-04-02T00:00:00Z")},
    "include_archived": {"archived": True},
}


@pytest.mark.parametrize("name", FILTERS)
async def test_what_the_searchs_filters_let_through_is_compared_and_nothing_else(
    database_url: str, database: Database, settings: Settings, name: str
) -> None:
    await store(database_url, *NEARER[:12])
    await store(database_url, 20, 30, 40, **FITTING[name])
    await store(database_url, 1, 2, tenant_id="another", **FITTING[name])
    request = SearchRequest.model_validate({"tenant_id": "acme", "query": ".", name: FILTERS[name]})
    audited = Audited(database, settings)
    compared = await ExactOrderRepository(database, audited.settings).compare(request, QUERY)
    await audited.search(**{name: FILTERS[name]})
    await audited.audit.audit_next()

    assert compared is not None
    assert len(compared.measured) == (15 if name == "include_archived" else 3)
    assert all(each.found for each in compared.measured)
    assert audited.recall() == 1


async def test_what_is_stored_changed_and_deleted_after_the_search_is_no_loss(
    database_url: str, database: Database, settings: Settings
) -> None:
    await plan_as_if_large(database_url)
    await store(database_url, *MANY)
    audited = Audited(database, settings)
    await audited.search()

    await store(database_url, *NEARER[:20])
    await execute(
        database_url, "DELETE FROM messages WHERE embedding <=> $1::text::halfvec < 0.0001", str(QUERY.values.tolist())
    )
    await audited.audit.audit_next()

    assert audited.outcomes() == {("under_1k", "compared"): 1}
    assert audited.recall() == 1


async def test_messages_that_are_alike_are_as_good_as_each_other(
    database_url: str, database: Database, settings: Settings
) -> None:
    await store(database_url, *[5.0] * 200)
    audited = Audited(database, settings)

    await audited.search()
    await audited.audit.audit_next()

    assert audited.recall() == 1


async def test_a_search_that_has_nothing_to_find_says_nothing_of_the_index(
    database_url: str, database: Database, settings: Settings
) -> None:
    await store(database_url, 1, 2, 3)
    audited = Audited(database, settings)

    assert await audited.search(conversation_id="another") == 0
    await audited.audit.audit_next()

    assert audited.outcomes() == {("under_1k", "nothing"): 1}
    assert audited.recall() is None


async def test_a_search_by_words_alone_is_not_audited(
    database_url: str, database: Database, settings: Settings
) -> None:
    await store(database_url, 1, 2, 3)
    audited = Audited(database, settings)
    audited.away = True

    await audited.search(query="said")

    assert await audited.audit.audit_next() == 0
    assert audited.outcomes() == {}


async def test_while_searches_use_the_connections_none_is_taken_from_them(
    database_url: str, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall_audit, "TRY_AGAIN_SECONDS", 0)
    await store(database_url, 1, 2, 3)
    audited = Audited(database, settings)
    await audited.search()

    async with database.connection():
        await audited.audit.audit_next()

    assert audited.outcomes() == {("under_1k", "busy"): 1}


async def test_an_audit_that_takes_too_long_is_given_up_and_searches_go_on(
    database_url: str, database: Database, settings: Settings
) -> None:
    await store(database_url, 1, 2, 3)
    audited = Audited(database, settings, recall_audit_timeout_seconds=0.05)
    await audited.search()

    connection = await asyncpg.connect(database_url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        await audited.audit.audit_next()
    await connection.close()

    assert audited.outcomes() == {("under_1k", "timed_out"): 1}
    assert await audited.search() == 3
    await audited.audit.audit_next()
    assert audited.recall() == 1, "its connection is as it was"


async def test_without_a_database_the_audit_has_failed_and_nothing_else_has(
    database_url: str, database: Database, settings: Settings
) -> None:
    await store(database_url, 1, 2, 3)
    audited = Audited(database, settings)
    nowhere = Database("postgresql://127.0.0.1:1/none", settings.database, PoolSize(min_size=0, max_size=2))
    audit = RecallAudit(nowhere, audited.settings, audited.instruments, audited.samples)
    await audited.search()

    await audit.audit_next()

    assert audited.outcomes() == {("under_1k", "failed"): 1}
    assert await audited.search() == 3


async def test_a_fault_of_ours_is_counted_and_the_next_audit_comes(
    database_url: str, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(database_url, 1, 2, 3)
    audited = Audited(database, settings)
    await audited.search()
    with monkeypatch.context() as broken:
        broken.setattr(recall_audit, "recall_at_10", lambda _: 1 / 0)
        await audited.audit.audit_next()
    await audited.search()
    await audited.audit.audit_next()

    assert audited.outcomes() == {("under_1k", "failed"): 1, ("under_1k", "compared"): 1}


async def test_in_the_background_searches_are_audited_until_it_is_stopped(
    database_url: str, database: Database, settings: Settings
) -> None:
    await store(database_url, 1, 2, 3)
    audited = Audited(database, settings, recall_audits_per_minute=600)
    audited.audit.start()
    await audited.search()
    await until(lambda: audited.recall() is not None)
    connection = await asyncpg.connect(database_url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        audited.samples.offer(SearchRequest(tenant_id="acme", query="."), QUERY, 3, None)
        await until(lambda: database.usage().in_use == 1)
        audited.audit.stop()
        await until(lambda: database.usage().in_use == 0)
    await connection.close()

    assert audited.outcomes() == {("under_1k", "compared"): 1}


async def test_turned_off_nothing_runs(database: Database, settings: Settings) -> None:
    audited = Audited(database, settings, recall_audits_per_minute=0)
    before = asyncio.all_tasks()

    audited.audit.start()

    assert asyncio.all_tasks() == before
    audited.audit.stop()
