"""The ways to the hits agree: an index in memory, and SQL where it takes every message for a candidate."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pytest

from deployments.schemas.search import SearchAnswer, SearchHit, SearchRequest, Weights
from deployments.schemas.vectors import EmbeddingSpace, QueryVector
from deployments.search.create import create_engine
from deployments.search.engine import SearchEngine
from deployments.search.index.tenant_index import KEPT_CHARACTERS
from deployments.search.plans import Search
from deployments.settings import Settings
from deployments.storage.postgres.database import Database, PoolSize
from tests.integration.indexed import connected
from tests.integration.postgres import SPACE

NOW = datetime(2026, 5, 7, 12, tzinfo=UTC)
CASES = 120
WORDS = ("amber", "birch", "cedar", "delta", "ember", "tea", "moved", "Monday", "I", "the")
QUERIES = (
    "amber birch",
    "Did Ida mention cedar?",
    "What did I say yesterday?",
    "the",
    "When did Bo move?",
    "delta ember tea",
    "in May 2026",
    "nothing of that",
    "What did you recommend last week about amber?",
)
STORE = """
    INSERT INTO messages (id, tenant_id, conversation_id, role, name, content, metadata, importance,
                          importance_override, archived, embedding, embedding_status, user_id, expires_at, terms,
                          created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::halfvec, $12, $13, $14,
            message_terms('english', $5, $6, $15), $15, $15)
"""
MAKE_FACT = """
    UPDATE messages SET kind = 'fact', valid_from = $2, valid_to = $3, superseded_by = $4, superseded_at = $5
    WHERE id = $1
"""


class BothWays:
    """Engines over one database that differ in the way alone."""

    def __init__(self, database: Database, settings: Settings) -> None:
        # So that no side of the SQL way leaves a message out.
        found_whole = settings.search.model_copy(update={"candidates": 1_000})
        self.vector = QueryVector(SPACE, np.zeros(256, dtype=np.float32))
        self._memory = create_engine(database, found_whole, self._embed, clock=lambda: NOW)
        by_sql = found_whole.model_copy(update={"index_bytes": 0})
        self._sql = create_engine(database, by_sql, self._embed, clock=lambda: NOW)

    async def answers(self, request: SearchRequest) -> tuple[SearchAnswer, SearchAnswer]:
        """Return the answer from memory, and the one by SQL."""
        search = Search(request, None)
        return await self._memory.search(search), await self._sql.search(search)

    async def _embed(self, text: str, request_id: str | None, space: EmbeddingSpace | None) -> QueryVector:
        return self.vector


@pytest.fixture
async def database(database_url: str, settings: Settings) -> AsyncIterator[Database]:
    database = Database(database_url, settings.database, PoolSize(min_size=1, max_size=4))
    yield database
    await database.close()


def drawn_vector(random: Random) -> Any:
    """A unit vector whose numbers are exact as halves, in four directions that many share."""
    values = np.zeros(256, dtype=np.float32)
    values[random.choice((0, 1, 2, 3))] = 1.0
    values[random.choice((4, 5, 6, 7))] = random.choice((0.5, -0.5, 0.25))
    return values


def drawn_content(random: Random) -> str:
    """Some words; one content in ten is too long for memory, and of two such the end alone may differ."""
    words = " ".join(random.choices(WORDS, k=random.randint(1, 8)))
    return f"amber {'x ' * KEPT_CHARACTERS}{random.choice(WORDS)}" if random.random() < 0.1 else words


def drawn_message(random: Random, tenant_id: str) -> list[Any]:
    """What `STORE` takes.

    All are embedded, and none is archived. An index counts what it holds; the statistics of the SQL way leave out what
    waits for its embedding, and hold the vectors of archived messages and not their words.
    """
    return [
        UUID(int=random.getrandbits(128)),
        tenant_id,
        random.choice("abc"),
        random.choice(("user", "assistant")),
        random.choice((None, "Ida", "Bo Lund")),
        drawn_content(random),
        orjson.dumps(random.choice(({}, {"a": 1}, {"a": 2, "b": ["x"]}))).decode(),
        random.random(),
        random.choice((None, None, 0.9)),
        False,
        str(drawn_vector(random).tolist()),
        "completed",
        random.choice((None, "ada")),
        random.choice((None, None, NOW, NOW + timedelta(seconds=1))),
        NOW - random.choice((timedelta(), timedelta(days=1), timedelta(days=6), timedelta(days=200, seconds=5))),
    ]


def drawn_facts(random: Random, ids: list[UUID]) -> list[list[Any]]:
    """What `MAKE_FACT` takes, of some of the messages: each is superseded by none or by one of those behind it."""
    facts = random.sample(ids, len(ids) // 3)
    newer = [random.choice((None, None, *facts[place + 1 :])) for place in range(len(facts))]
    days = [timedelta(days=random.choice((1, 10, 100))) for _ in facts]
    return [
        [fact, NOW - 2 * ago, random.choice((None, NOW)), successor, successor and NOW - ago]
        for fact, ago, successor in zip(facts, days, newer, strict=True)
    ]


def assert_newer_first(items: Sequence[SearchHit]) -> None:
    """No fact stands above what supersedes it."""
    places = {hit.message_id: place for place, hit in enumerate(items)}
    for place, hit in enumerate(items):
        if hit.fact is not None and hit.fact.superseded_by is not None:
            assert places.get(hit.fact.superseded_by, -1) < place


def drawn_request(random: Random, tenant_id: str) -> SearchRequest:
    filters: dict[str, Any] = {
        "conversation_id": random.choice("ab"),
        "role": "user",
        "min_importance": random.choice((0.3, 0.9)),
        "created_after": NOW - timedelta(days=7),
        "created_before": NOW,
        "include_archived": True,
        "kinds": random.choice((["fact"], ["message"])),
        "as_of": NOW - random.choice((timedelta(days=3), timedelta(days=30))),
        "metadata": random.choice(({"a": 1}, {"b": ["x"]})),
        "where": random.choice(({"a": {"ne": 1}}, {"or": [{"b": {"contains": "x"}}, {"name": {"exists": False}}]})),
        "user_id": "ada",
        "conversation_prefix": "a",
        "min_score": 0.2,
        "min_similarity": 0.1,
    }
    names = Weights.model_fields
    weights = Weights(**{name: random.choice((0.0, 0.3, 1.0, 2.0)) for name in random.sample(sorted(names), 3)})
    return SearchRequest(
        tenant_id=tenant_id,
        query=random.choice(QUERIES),
        top_k=random.choice((3, 10, 100)),
        asked_at=NOW,
        explain=True,
        weights=random.choice((Weights(), weights)),
        **{name: filters[name] for name in random.sample(sorted(filters), random.choice((0, 0, 1, 1, 2)))},
    )


def rounded(hit: SearchHit) -> dict[str, Any]:
    """Return a hit without what is equal up to rounding."""
    return hit.model_dump(exclude={"score", "similarity", "explanation"})


def assert_equal(memory: SearchAnswer, sql: SearchAnswer, said: str) -> None:
    """The same hits with the same scores and parts within 1e-4. Such as differ by less may change places."""
    assert (memory.degraded, memory.total) == (sql.degraded, sql.total), said
    np.testing.assert_allclose(scores(memory.items), scores(sql.items), atol=1e-4, err_msg=said)
    by_id = {hit.message_id: hit for hit in sql.items}
    last = sql.items[-1].score if sql.items else 0.0
    for hit in memory.items:
        other = by_id.get(hit.message_id)
        if other is None:
            # One of several that score the same, of which not all are answered.
            assert hit.score == pytest.approx(last, abs=1e-4), said
            continue
        assert rounded(hit) == rounded(other), said
        assert hit.similarity == pytest.approx(other.similarity, abs=1e-4), said
        assert hit.explanation is not None
        assert hit.explanation == pytest.approx(other.explanation, abs=1e-4), said


def scores(items: Sequence[SearchHit]) -> list[float]:
    return [hit.score for hit in items]


async def test_both_ways_give_the_same(database_url: str, database: Database, settings: Settings) -> None:
    both, found = BothWays(database, settings), 0
    async with connected(database_url) as (writer,):
        for case in range(CASES):
            random, tenant = Random(case), f"tenant-{case % 8}"
            if case < 8:
                messages = [drawn_message(random, tenant) for _ in range(random.choice((1, 30)))]
                await writer.executemany(STORE, messages)
                await writer.executemany(MAKE_FACT, drawn_facts(random, [each[0] for each in messages]))
            both.vector = QueryVector(SPACE, drawn_vector(random))
            request = drawn_request(random, tenant)
            memory, sql = await both.answers(request)
            assert_equal(memory, sql, f"case {case}: {request!r}")
            for answer in (memory, sql):
                assert_newer_first(answer.items)
            found += memory.total
    assert found > CASES


def test_engines_differ_in_the_way_alone(settings: Settings, database: Database) -> None:
    both = BothWays(database, settings)
    plans = [[type(way).__name__ for way in engine._plans] for engine in (both._memory, both._sql)]

    assert plans == [["FromMemory", "FromSql"], ["FromSql"]]
    assert isinstance(both._memory, SearchEngine)
