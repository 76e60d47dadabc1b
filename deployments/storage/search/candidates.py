"""Queries for the candidates of a search."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from pgvector import HalfVector

from deployments.analysis.query import AnalyzedQuery
from deployments.schemas.candidates import BEGINNING_CHARACTERS, MEAN_PRIOR, TERM_LIMIT, Candidate, Candidates, Corpus
from deployments.schemas.filters.namespaces import path_prefix
from deployments.schemas.filters.where import Where
from deployments.schemas.search import Neighbor, SearchParameters, SearchRequest
from deployments.schemas.vectors import QueryVector
from deployments.settings import SearchSettings
from deployments.storage.messages.where_sql import where_sql
from deployments.storage.postgres.database import Connections
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.zones import zoned

# Words are looked up by a query's rarest terms, as many as match about this many messages in total: more terms cost
# time and find nothing better (docs/decisions/0009-ranking.md). A query of a whole page has hundreds of terms.
SCAN_LIMIT = 2_000
# The sample size for the mean vector of a tenant without stored sums: adding up 10,000 vectors takes 10 ms.
MEAN_SAMPLE = 10_000
# Only the beginning of longer contents is read with the candidates. The contents of hits are read in full afterwards.
WHOLE_BYTES = 4_096


_COLUMNS = len(Candidate._fields)
_PARAMETERS = set(SearchParameters.model_fields) - {
    "top_k",
    "query",
    "min_score",
    "min_similarity",
    "metadata",
    "where",
    "conversation_prefix",
}


class TenantSize(NamedTuple):
    """A tenant's number of vectors, and whether the indexes of large tenants cover it."""

    indexed: bool
    embedded: int


class CandidateRepository:
    """Finds candidates by vector and by words in one round trip."""

    def __init__(self, database: Connections, settings: SearchSettings) -> None:
        self._database = database
        self._settings = settings

    async def find(
        self,
        request: SearchRequest,
        query: AnalyzedQuery,
        embedding: QueryVector | None,
        *,
        exact: bool,
        limit: int,
        indexed: bool | None = None,
        now: datetime | None = None,
    ) -> Candidates:
        """Return at most `limit` candidates by vector and by words each, with their neighbours.

        Without an embedding of the active space, which is returned with the corpus, only words are used.
        `exact`: scan all vectors of the tenant, else use the HNSW index. `indexed`: look words up in the GIN index,
        else scan the terms of all of its messages; None: unless `exact`. `now`: messages that have expired by then
        are omitted; None: the current time.
        Raises `DatabaseUnavailableError`, `OverloadedError`.
        """
        async with self._database.connection() as connection:
            rows = _queries(embedding, request.where).find_candidates(
                connection,
                **search_parameters(request, query, embedding, self._settings, limit, now or datetime.now(UTC)),
                exact=exact,
                indexed=not exact if indexed is None else indexed,
            )
            return to_candidates([row async for row in rows])

    async def size(self, tenant_id: str) -> TenantSize:
        """Return the properties that decide how a tenant is searched."""
        async with self._database.connection() as connection:
            return TenantSize(**await load_queries("large_tenants").tenant_size(connection, tenant_id=tenant_id))

    async def neighbors(
        self, request: SearchRequest, message_ids: Sequence[UUID], now: datetime
    ) -> dict[UUID, list[Neighbor]]:
        """Return at most `request.neighbors` unexpired turns before and after each message, in time order."""
        around: dict[UUID, list[Neighbor]] = {message_id: [] for message_id in message_ids}
        async with self._database.connection() as connection:
            rows = load_queries("search").find_neighbors(
                connection,
                tenant_id=request.tenant_id,
                ids=list(message_ids),
                reach=request.neighbors,
                include_archived=request.include_archived,
                user_id=request.user_id,
                now=now,
                as_of=request.as_of,
            )
            async for row in rows:
                fields = zoned(row)
                hit = fields.pop("hit_id")
                around[hit].append(Neighbor(message_id=fields.pop("id"), **fields))
        return around


def _queries(embedding: QueryVector | None, where: Where | None) -> Any:
    """Load the queries with the number of dimensions as a literal: Postgres needs it to use the HNSW index."""
    return load_queries(
        "search", dimensions=embedding.space.dimensions if embedding else 1, where=where_sql(where).text
    )


def search_parameters(
    request: SearchRequest,
    query: AnalyzedQuery,
    embedding: QueryVector | None,
    settings: SearchSettings,
    limit: int,
    now: datetime,
) -> dict[str, object]:
    """Return the parameters of `find_candidates`, except for `exact` and `indexed`."""
    return {
        **request.model_dump(include=_PARAMETERS),
        "conversation_prefix": path_prefix(request.conversation_prefix),
        "where_values": where_sql(request.where).values,
        "now": now,
        "facts_as_of": request.facts_as_of,
        "metadata": None if request.metadata is None else orjson.dumps(request.metadata).decode(),
        "embedding": embedding and HalfVector(embedding.values),
        "model": embedding and embedding.space.model,
        "dimensions": embedding and embedding.space.dimensions,
        "limit": limit,
        "terms": query.terms,
        "term_weights": query.weights,
        "said_after": query.span and query.span.start,
        "said_before": query.span and query.span.end,
        "scan_limit": SCAN_LIMIT,
        "term_limit": TERM_LIMIT,
        "mean_sample": MEAN_SAMPLE,
        "whole_bytes": WHOLE_BYTES,
        "beginning": BEGINNING_CHARACTERS,
        "mean_prior": MEAN_PRIOR if settings.subtract_mean else math.inf,
    }


def to_candidates(rows: Sequence[Sequence[Any]]) -> Candidates:
    """Convert rows of `find_candidates`: columns of a candidate, which the first row may lack, then the corpus."""
    if not rows:
        return Candidates([])
    found = [Candidate(*row[:_COLUMNS]) for row in rows if row[0] is not None]
    return Candidates(found, Corpus(*orjson.loads(rows[0][_COLUMNS])))
