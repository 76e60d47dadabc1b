"""Searches that are audited, over indexes that are whole or have really lost something."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import numpy as np
from prometheus_client import CollectorRegistry

from deployments.errors import EmbeddingUnavailableError
from deployments.schemas.search import SearchRequest
from deployments.schemas.vectors import EmbeddingSpace, QueryVector
from deployments.search.create import create_engine
from deployments.search.instruments import SearchInstruments
from deployments.search.plans import Search
from deployments.search.recall.audit import RecallAudit
from deployments.search.recall.samples import RecallSamples
from deployments.settings import Settings
from deployments.storage.postgres.database import Database
from tests.integration.postgres import SPACE

HNSW = ("messages_embedding",)
# At so many degrees from the query, one message each; none has a word in common with it.
STORE = """
    INSERT INTO messages (id, tenant_id, conversation_id, role, content, metadata, importance, archived, embedding,
                          embedding_status, terms, created_at, updated_at)
    SELECT gen_random_uuid(), $1, $3, $4, 'said', $5, $6, $7,
           l2_normalize((ARRAY[cosd(degrees), sind(degrees)] || array_fill(0::float8, ARRAY[254]))::halfvec(256)),
           'completed', message_terms('english', NULL, 'said', $8), $8, $8
    FROM unnest($2::float8[]) AS degrees
"""
# So that the planner takes an index's order for a few hundred messages as it does for many thousands.
AS_IF_LARGE = ("enable_sort", "enable_seqscan")
MANY = [number / 10 for number in range(300)]
NEARER = [-number / 100 for number in range(1, 61)]
# Of tenants that are searched by the HNSW index.
LARGE = "INSERT INTO large_tenants (tenant_id, state) VALUES ($1, 'ready') ON CONFLICT DO NOTHING"
QUERY = QueryVector(SPACE, np.eye(1, 256, dtype=np.float32)[0])


async def store(url: str, *degrees: float, tenant_id: str = "acme", **fields: Any) -> None:
    """Messages of a large tenant, at so many degrees from the query."""
    columns = {
        "conversation_id": "c1",
        "role": "user",
        "metadata": "{}",
        "importance": 0.5,
        "archived": False,
        "created_at": datetime.fromisoformat("2026-05-07T12:00:00Z"),
    }
    await execute(url, LARGE, tenant_id)
    await execute(url, STORE, tenant_id, list(degrees), *(columns | fields).values())


async def execute(url: str, statement: str, *parameters: object) -> None:
    """Run a statement."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, *parameters)
    finally:
        await connection.close()


async def plan_as_if_large(url: str) -> None:
    """From the next connection on."""
    for setting in AS_IF_LARGE:
        await execute(
            url, f"DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET {setting}=off'; END $$"
        )


@asynccontextmanager
async def out_of_order(url: str, indexes: tuple[str, ...]) -> AsyncIterator[None]:
    """What is stored meanwhile is lost to the indexes, for ever, and Postgres takes them for whole."""
    for ready in (False, True):
        await execute(url, f"UPDATE pg_index SET indisready={ready} WHERE indexrelid::regclass::text=ANY($1)", indexes)  # noqa: S608
        if not ready:
            yield


class Audited:
    """Searches with one vector, and the audit of them."""

    def __init__(self, database: Database, settings: Settings, **search: Any) -> None:
        # By the HNSW index, whose searches alone are audited.
        self.settings = settings.search.model_copy(update={"index_bytes": 0, "exact_limit": 0} | search)
        self.registry = CollectorRegistry()
        self.samples = RecallSamples()
        self.instruments = instruments = SearchInstruments(self.registry)
        self.away = False
        self._engine = create_engine(database, self.settings, self._embed, instruments, samples=self.samples)
        self.audit = RecallAudit(database, self.settings, instruments, self.samples)

    async def search(self, **parameters: Any) -> int:
        """Search; how many were found."""
        request = SearchRequest(**{"tenant_id": "acme", "query": "secret", "top_k": 10} | parameters)
        return (await self._engine.search(Search(request, "r-7"))).total

    async def _embed(self, text: str, request_id: str | None, space: EmbeddingSpace | None) -> QueryVector:
        if self.away:
            raise EmbeddingUnavailableError("The provider is away.")
        return QUERY

    def outcomes(self) -> dict[tuple[str, str], float]:
        """How audits ended, by the tenant's size."""
        return {
            (sample.labels["tenant_size"], sample.labels["outcome"]): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == "memory_search_audits_total"
        }

    def recall(self, tenant_size: str = "under_1k", reference: str = "table") -> float | None:
        """The sum of what audits found."""
        labels = {"tenant_size": tenant_size, "reference": reference}
        return self.registry.get_sample_value("memory_search_recall_at_10_sum", labels)
