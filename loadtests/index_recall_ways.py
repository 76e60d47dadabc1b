"""Compares two or more plans of vector search, query by query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from time import perf_counter
from typing import NamedTuple
from uuid import UUID

from deployments.analysis.query import NO_WORDS
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.schemas.search import SearchRequest
from deployments.schemas.vectors import EmbeddingSpace, QueryVector, Vector
from deployments.settings import Settings
from deployments.storage.postgres.database import SESSION, Connection, Database
from deployments.storage.search.candidates import CandidateRepository
from jobs.progress import Advance
from loadtests.client import percentile

FIRST = 10
# Run blocks of queries per plan, so that what one plan leaves in the cache is of little use to the next.
BLOCK = 10
# A text without words is searched by its vector alone.
_NO_WORDS = "."
_HNSW = "messages_embedding"
_EF_SEARCH, _SCAN = "hnsw.ef_search", "hnsw.iterative_scan"


@dataclass(frozen=True)
class Way:
    """A search plan: exact distances, or the HNSW index with these settings of pgvector."""

    exact: bool
    ef_search: str = SESSION[_EF_SEARCH]
    iterative_scan: str = SESSION[_SCAN]

    @property
    def name(self) -> str:
        """Return the display name."""
        if self.exact:
            return "exact"
        return "HNSW" if self == WALKED else f"HNSW {self.ef_search}:{self.iterative_scan}"


MEASURED, WALKED = Way(exact=True), Way(exact=False)


class Found(NamedTuple):
    """The ids that a search found, closest first, its duration, and whether it used the index."""

    ids: list[UUID]
    milliseconds: float
    walked: bool


@dataclass
class Tally:
    """The results of one plan, one value for each query: shares 0 to 1, and milliseconds.

    `recall_10`, `recall`: of the 10 closest and of all that the exact plan found by vector. `short`: whether it
    returned too few. `walked`: whether the planner used the HNSW index. `by_vector`, `with_words`: latency by vector
    alone, and with the query's words as well.
    """

    recall_10: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    short: list[bool] = field(default_factory=list)
    walked: list[bool] = field(default_factory=list)
    by_vector: list[float] = field(default_factory=list)
    with_words: list[float] = field(default_factory=list)

    def add(self, found: Found, truth: Found, limit: int) -> None:
        """Add a search by vector. `truth`: the result of the exact plan."""
        self.recall_10.append(_recall(found, truth.ids[:FIRST]))
        self.recall.append(_recall(found, truth.ids))
        self.short.append(len(found.ids) < limit)
        self.walked.append(found.walked)
        self.by_vector.append(found.milliseconds)


@dataclass(frozen=True)
class Asked:
    """A query and its vector."""

    text: str
    vector: Vector


@dataclass(frozen=True)
class Figures:
    """The results of one plan for one tenant. Shares 0 to 1, milliseconds; see `Tally`."""

    tenant: str
    rows: int
    way: str
    recall_10: float
    recall: float
    short: float
    walked: float
    p50_ms: float
    p95_ms: float
    words_p50_ms: float
    words_p95_ms: float


class Comparison:
    """Searches with the product's own statement, over a pool of one connection, whose settings it changes."""

    def __init__(self, database: Database, settings: Settings, space: EmbeddingSpace, ways: Sequence[Way]) -> None:
        """`ways`: the plans; the first is exact."""
        self._database = database
        self._repository = CandidateRepository(database, settings.search)
        self._space = space
        self._limit = settings.search.candidates
        self._ways = ways

    async def compare(self, tenant_id: str, rows: int, asked: Sequence[Asked], advance: Advance) -> list[Figures]:
        """Return the results of each plan. Plans take turns, so that other load on the machine affects all alike."""
        tallies = {way: Tally() for way in self._ways}
        for start in range(0, len(asked), BLOCK):
            block = asked[start : start + BLOCK]
            await self._ask(tenant_id, block, tallies)
            advance(len(block))
        return [self._figures(tenant_id, rows, way, tally) for way, tally in tallies.items()]

    async def _ask(self, tenant_id: str, block: Sequence[Asked], tallies: Mapping[Way, Tally]) -> None:
        wordless = [replace(query, text=_NO_WORDS) for query in block]
        by_vector = {way: await self._find_all(tenant_id, wordless, way) for way in tallies}
        for way, tally in tallies.items():
            for found, truth in zip(by_vector[way], by_vector[self._ways[0]], strict=True):
                tally.add(found, truth, self._limit)
        for way, tally in tallies.items():
            with_words = await self._find_all(tenant_id, block, way)
            tally.with_words.extend(found.milliseconds for found in with_words)

    async def _find_all(self, tenant_id: str, block: Sequence[Asked], way: Way) -> list[Found]:
        requests = [SearchRequest(tenant_id=tenant_id, query=query.text) for query in block]
        await self._find(requests[0], block[0].vector, way)
        return [await self._find(request, query.vector, way) for request, query in zip(requests, block, strict=True)]

    async def _find(self, request: SearchRequest, vector: Vector, way: Way) -> Found:
        async with self._database.connection() as connection:
            for setting, value in ((_EF_SEARCH, way.ef_search), (_SCAN, way.iterative_scan)):
                await connection.execute("SELECT set_config($1, $2, false)", setting, value)
            before = await _walks(connection)
        began = perf_counter()
        embedding = QueryVector(self._space, vector)
        candidates = await self._repository.find(request, NO_WORDS, embedding, exact=way.exact, limit=self._limit)
        milliseconds = (perf_counter() - began) * 1e3
        async with self._database.connection() as connection:
            walked = await _walks(connection) > before
        closest = sorted(candidates.found, key=lambda each: each.closeness or -1, reverse=True)
        return Found([each.id for each in closest], milliseconds, walked)

    def _figures(self, tenant_id: str, rows: int, way: Way, tally: Tally) -> Figures:
        return Figures(
            tenant=tenant_id,
            rows=rows,
            way=way.name,
            recall_10=fmean(tally.recall_10),
            recall=fmean(tally.recall),
            short=fmean(tally.short),
            walked=fmean(tally.walked),
            p50_ms=percentile(tally.by_vector, 0.5),
            p95_ms=percentile(tally.by_vector, 0.95),
            words_p50_ms=percentile(tally.with_words, 0.5),
            words_p95_ms=percentile(tally.with_words, 0.95),
        )


async def embedded(provider: EmbeddingProvider, texts: Sequence[str]) -> list[Asked]:
    """Return the queries with their vectors."""
    vectors = await provider.embed_queries(texts)
    return [Asked(text, vector) for text, vector in zip(texts, vectors, strict=True)]


async def _walks(connection: Connection) -> int:
    """Return how often the HNSW index has been scanned so far."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    walks = await connection.fetchval("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = $1", _HNSW)
    return int(walks)


def _recall(found: Found, truth: Sequence[UUID]) -> float:
    return len(set(found.ids) & set(truth)) / len(truth)
