"""The plans of the real queries, for a small tenant inside of a large table and for a large one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import numpy as np
import pytest

from deployments.schemas.candidates import Candidates
from deployments.schemas.search import MessageListing, Order, SearchRequest
from deployments.schemas.vectors import QueryVector
from deployments.settings import DatabaseSettings, SearchSettings
from deployments.storage.messages.analysis import message_analyzer
from deployments.storage.messages.conversations import ConversationRepository
from deployments.storage.messages.expiry import ExpiryRepository
from deployments.storage.messages.recent_turns import RecentTurnRepository
from deployments.storage.messages.repository import MessageRepository, Position
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.search import exact_order
from deployments.storage.search.candidates import CandidateRepository, TenantSize
from deployments.storage.search.exact_order import Comparison, ExactOrderRepository
from deployments.storage.tenants.users import UserRepository
from tests.integration.calls import analyzed
from tests.integration.explaining import ExplainingDatabase, Plan, indexes, nodes, scanned
from tests.integration.many_messages import LARGE, LARGE_TENANT, SMALL, SMALL_TENANT, fill
from tests.integration.postgres import SPACE, PostgresServer

TENANT_INDEXES = {"messages_tenant_time", "messages_conversation_time"}
HNSW = "messages_embedding"
WORDS = "messages_terms"
TURNS = "messages_conversation_time"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def large_url(postgres: PostgresServer) -> Iterator[str]:
    """A database with 12,000 messages."""
    url = postgres.create()
    asyncio.run(fill(url, pending=True))
    yield url
    postgres.drop(url)


@pytest.fixture
async def explaining(large_url: str) -> AsyncIterator[ExplainingDatabase]:
    """Plans over it."""
    database = ExplainingDatabase(large_url, DatabaseSettings(), PoolSize(0, 1))
    yield database
    await database.close()


@pytest.fixture
async def candidates(large_url: str) -> AsyncIterator[CandidateRepository]:
    """Searches over it."""
    database = Database(large_url, DatabaseSettings(), PoolSize(0, 1))
    yield CandidateRepository(database, SearchSettings())
    await database.close()


def direction() -> QueryVector:
    vector = np.random.default_rng(7).standard_normal(256).astype(np.float32)
    return QueryVector(SPACE, vector / np.linalg.norm(vector))


async def plan_search(
    explaining: ExplainingDatabase,
    tenant_id: str,
    *,
    exact: bool,
    query: str = "apple",
    by_meaning: bool = True,
    indexed: bool | None = None,
) -> None:
    request = SearchRequest(tenant_id=tenant_id, query=query)
    repository = CandidateRepository(explaining, SearchSettings())
    vector = direction() if by_meaning else None
    await repository.find(request, analyzed(request), vector, exact=exact, limit=100, indexed=indexed)


async def test_a_small_tenants_vectors_are_measured_by_way_of_a_tenants_index(explaining: ExplainingDatabase) -> None:
    await plan_search(explaining, SMALL_TENANT, exact=True)

    assert "messages" not in scanned(explaining.plan)
    assert indexes(explaining.plan) & TENANT_INDEXES
    assert HNSW not in indexes(explaining.plan)


async def test_a_large_tenants_exact_search_does_not_walk_the_hnsw_index(explaining: ExplainingDatabase) -> None:
    await plan_search(explaining, LARGE_TENANT, exact=True)

    assert HNSW not in indexes(explaining.plan)


async def test_a_large_tenants_vectors_are_found_by_the_hnsw_index(explaining: ExplainingDatabase) -> None:
    await plan_search(explaining, LARGE_TENANT, exact=False, query="word5")

    assert HNSW in indexes(explaining.plan)
    assert "messages" not in scanned(explaining.plan)


async def test_nothing_that_is_kept_for_large_tenants_is_read_for_others(explaining: ExplainingDatabase) -> None:
    await plan_search(explaining, SMALL_TENANT, exact=True, query="apple word5")

    assert indexes(explaining.plan).isdisjoint({HNSW, WORDS, "tenant_terms_pkey"})
    assert not scanned(explaining.plan) & {"messages", "tenant_terms"}


async def test_archived_messages_are_measured_since_the_hnsw_index_has_none(explaining: ExplainingDatabase) -> None:
    request = SearchRequest(tenant_id=LARGE_TENANT, query="word5", include_archived=True)
    await CandidateRepository(explaining, SearchSettings()).find(
        request, analyzed(request), direction(), exact=False, limit=100
    )

    assert HNSW not in indexes(explaining.plan)
    assert indexes(explaining.plan) & TENANT_INDEXES


@pytest.mark.parametrize(("tenant_id", "exact"), [(SMALL_TENANT, True), (LARGE_TENANT, True), (LARGE_TENANT, False)])
async def test_what_is_known_of_terms_and_turns_is_looked_up(
    explaining: ExplainingDatabase, tenant_id: str, exact: bool
) -> None:
    """Not read for all of a tenant's terms, nor for whole conversations."""
    await plan_search(explaining, tenant_id, exact=exact, query="apple word5", indexed=True)

    assert "tenant_terms" not in scanned(explaining.plan)
    assert _looked_up(explaining.plan, "tenant_terms") == [("tenant_terms_pkey", {"tenant_id", "term"})]
    first_rows = [child for node in nodes(explaining.plan) if node["Node Type"] == "Limit" for child in node["Plans"]]
    turns = [node["Index Cond"] for node in first_rows if node.get("Index Name") == TURNS]
    assert len([each for each in turns if "conversation_id =" in each and "ROW(created_at, id)" in each]) == 2


def _looked_up(plan: Plan, table: str) -> list[tuple[str, set[str]]]:
    """The indexes that a table is read by, and the columns that are looked up."""
    return [
        (node.get("Index Name", ""), {name for name in ("tenant_id", "term") if name in node.get("Index Cond", "")})
        for node in nodes(plan)
        if node.get("Relation Name") == table
    ]


async def plan_audit(explaining: ExplainingDatabase, tenant_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan of what is measured, which comes last."""

    async def large(_: CandidateRepository, __: str) -> TenantSize:
        return TenantSize(indexed=True, embedded=LARGE)

    monkeypatch.setattr(CandidateRepository, "size", large)
    request = SearchRequest(tenant_id=tenant_id, query=".")
    await ExactOrderRepository(explaining, SearchSettings()).compare(request, direction())


@pytest.mark.parametrize("tenant_id", [LARGE_TENANT, SMALL_TENANT])
async def test_an_audit_of_a_small_table_measures_without_any_index(
    explaining: ExplainingDatabase, tenant_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plan_audit(explaining, tenant_id, monkeypatch)

    assert indexes(explaining.plan) == set()
    assert scanned(explaining.plan) >= {"messages", "tenant_statistics"}


async def test_an_audit_of_a_large_table_measures_by_way_of_a_tenants_index(
    explaining: ExplainingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact_order, "TABLE_BYTES", 0)
    await plan_audit(explaining, SMALL_TENANT, monkeypatch)

    assert indexes(explaining.plan) & TENANT_INDEXES
    assert "messages" not in scanned(explaining.plan)


async def test_an_audit_leaves_its_connection_as_it_was(large_url: str) -> None:
    database = Database(large_url, DatabaseSettings(), PoolSize(0, 1))
    request = SearchRequest(tenant_id=LARGE_TENANT, query=".")
    compared = await ExactOrderRepository(database, SearchSettings()).compare(request, direction())

    async with database.connection() as connection:
        settings = await connection.fetch(
            "SELECT name FROM pg_settings WHERE name LIKE 'enable%scan' AND setting = 'off'"
        )
    await database.close()

    assert isinstance(compared, Comparison)
    assert settings == []


async def test_without_a_vector_neither_way_is_taken(explaining: ExplainingDatabase) -> None:
    await plan_search(explaining, LARGE_TENANT, exact=False, query="word5", by_meaning=False)

    assert HNSW not in indexes(explaining.plan)
    assert "messages" not in scanned(explaining.plan)


async def test_a_large_tenants_words_are_found_by_the_gin_index(explaining: ExplainingDatabase) -> None:
    await plan_search(explaining, LARGE_TENANT, exact=False, query="word5")

    assert WORDS in indexes(explaining.plan)


async def test_neighbors_are_found_by_the_conversations_index(explaining: ExplainingDatabase) -> None:
    request = SearchRequest(tenant_id=LARGE_TENANT, query="apple", neighbors=2)

    await CandidateRepository(explaining, SearchSettings()).neighbors(request, [uuid4()], NOW)

    assert TURNS in indexes(explaining.plan)
    assert not scanned(explaining.plan)


def messages_of(database: ExplainingDatabase) -> MessageRepository:
    return MessageRepository(database, message_analyzer(database, SearchSettings()))


@pytest.mark.parametrize("tenant_id", [LARGE_TENANT, SMALL_TENANT])
@pytest.mark.parametrize("after", [None, Position(NOW, uuid4())])
@pytest.mark.parametrize("order", list(Order))
async def test_a_page_of_messages_is_read_in_the_indexs_order(
    explaining: ExplainingDatabase, tenant_id: str, after: Position | None, order: Order
) -> None:
    await messages_of(explaining).page(MessageListing(tenant_id=tenant_id, order=order), 51, after)

    assert "messages_tenant_time" in indexes(explaining.plan)
    assert "messages" not in scanned(explaining.plan)


async def test_a_page_of_a_conversation_is_read_in_the_indexs_order(explaining: ExplainingDatabase) -> None:
    await messages_of(explaining).page(MessageListing(tenant_id=LARGE_TENANT, conversation_id="c1"), 51, None)

    assert "messages_conversation_time" in indexes(explaining.plan)
    assert "messages" not in scanned(explaining.plan)


async def test_the_last_turns_of_a_conversation_are_read_in_the_indexs_order(explaining: ExplainingDatabase) -> None:
    await RecentTurnRepository(explaining).newest(LARGE_TENANT, "c1", 20, NOW)

    assert "messages_conversation_time" in indexes(explaining.plan)
    assert not {node["Node Type"] for node in nodes(explaining.plan)} & {"Sort", "Seq Scan"}


async def test_what_waits_is_summed_by_its_index_alone(explaining: ExplainingDatabase) -> None:
    async with explaining.connection() as connection:
        assert [row async for row in load_queries("usage").get_usage(connection, tenant_ids=[SMALL_TENANT])] == []

    (waiting,) = [node for node in nodes(explaining.plan) if node.get("Index Name") == "embedding_jobs_tenant_due"]
    assert waiting["Node Type"] == "Index Only Scan"
    assert "embedding_jobs" not in scanned(explaining.plan)


async def test_conversations_are_read_by_a_tenants_index(explaining: ExplainingDatabase) -> None:
    await ConversationRepository(explaining).page(SMALL_TENANT, 51, None)

    (counted,) = [node for node in nodes(explaining.plan) if node.get("Index Name") in TENANT_INDEXES]
    assert counted["Node Type"] == "Index Only Scan"
    assert not scanned(explaining.plan) & {"messages", "embedding_jobs"}


@pytest.mark.parametrize("tenant_id", [None, LARGE_TENANT])
async def test_what_has_expired_is_found_by_its_own_index(
    explaining: ExplainingDatabase, tenant_id: str | None
) -> None:
    await ExpiryRepository(explaining).delete_some(500, tenant_id)

    assert "messages_expires_at" in indexes(explaining.plan)
    assert "messages" not in scanned(explaining.plan)


@pytest.mark.parametrize("user_id", [None, "ada"])
@pytest.mark.parametrize("before", [None, NOW])
async def test_a_page_of_conversations_walks_the_newest_messages_alone(
    explaining: ExplainingDatabase, user_id: str | None, before: datetime | None
) -> None:
    whose = {"tenant_id": LARGE_TENANT, "user_id": user_id, "agent_id": None, "conversation_prefix": None}
    position = {"before": before, "before_id": "c1", "walked": 1_000, "limit": 51}
    async with explaining.connection() as connection:
        walk = load_queries("conversations").walk_conversations
        assert [row async for row in walk(connection, **whose, **position)] == []

    (walked,) = [node for node in nodes(explaining.plan) if node.get("Subplan Name") == "CTE walked"]
    assert walked["Node Type"] == "Limit"
    assert indexes(walked) == ({"messages_user"} if user_id else {"messages_tenant_time"})
    assert not {node["Node Type"] for node in nodes(walked)} & {"Sort", "Seq Scan"}
    assert not scanned(explaining.plan)
    assert user_id or TURNS in indexes(explaining.plan)


async def test_users_are_found_by_their_index_alone(explaining: ExplainingDatabase) -> None:
    await UserRepository(explaining).page(LARGE_TENANT, 51, None)

    assert indexes(explaining.plan) == {"messages_user"}
    assert not scanned(explaining.plan) & {"messages"}


async def test_a_small_tenant_inside_of_a_large_table_is_not_lost_by_the_hnsw_index(
    candidates: CandidateRepository,
) -> None:
    """A global index that is filtered afterwards returns too few, or nothing, to most small tenants."""
    request = SearchRequest(tenant_id=SMALL_TENANT, query="nothing-of-the-kind")

    walked = await candidates.find(request, analyzed(request), direction(), exact=False, limit=SMALL)
    measured = await candidates.find(request, analyzed(request), direction(), exact=True, limit=SMALL)

    assert walked.corpus.near == measured.corpus.near == SMALL
    assert {each.id for each in walked.found} == {each.id for each in measured.found}


async def test_the_hnsw_index_finds_nearly_what_measuring_finds(candidates: CandidateRepository) -> None:
    request = SearchRequest(tenant_id=LARGE_TENANT, query="nothing-of-the-kind")

    walked = await candidates.find(request, analyzed(request), direction(), exact=False, limit=20)
    measured = await candidates.find(request, analyzed(request), direction(), exact=True, limit=20)

    assert (walked.corpus.near, measured.corpus.near) == (20, 20)
    assert len(_hits(walked) & _hits(measured)) >= 15


def _hits(candidates: Candidates) -> set[UUID]:
    """Without the turns beside them, of which nothing is known; all of a large tenant's have a turn beside."""
    return {each.id for each in candidates.found if each.previous or each.next}


@pytest.mark.parametrize("query", ["word5", "apple word7", "the apple of word996"])
async def test_the_gin_index_finds_what_reading_finds(candidates: CandidateRepository, query: str) -> None:
    request = SearchRequest(tenant_id=LARGE_TENANT, query=query)

    looked_up = await candidates.find(request, analyzed(request), None, exact=False, limit=1000)
    read = await candidates.find(request, analyzed(request), None, exact=True, limit=1000)

    assert looked_up.corpus == read.corpus
    assert len(_hits(looked_up)) >= 5
    assert sorted(looked_up.found) == sorted(read.found)


async def test_a_word_is_found_in_its_own_tenant(candidates: CandidateRepository) -> None:
    """One index holds the words of all."""
    request = SearchRequest(tenant_id=SMALL_TENANT, query="apple")

    found = await candidates.find(request, analyzed(request), None, exact=False, limit=1000)

    assert ["apple" in each.content for each in found.found] == [True] * (SMALL // 12)
    assert found.corpus.holders == [SMALL // 12]
