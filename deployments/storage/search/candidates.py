"""The candidates of a search."""

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

# Words are looked up by the rarest terms of a query, as many as hold about so many messages together: more cost time
# and find nothing better (docs/decisions/0009-ranking.md). A query of a whole page has hundreds of terms.
SCAN_LIMIT = 2_000
# Of how many vectors the mean of a tenant without kept sums is: adding up so many takes 10 ms.
MEAN_SAMPLE = 10_000
# Of longer contents the beginning is read with the candidates; those that are answered are read whole afterwards.
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
    """How many vectors a tenant has, and whether it may be searched by the indexes of large tenants."""

    indexed: bool
    embedded: int


class CandidateRepository:
    """Finds candidates by meaning and by words in one round trip."""

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
        """At most `limit` candidates of each side and the turns beside them. Without an embedding, by words alone.

        So it is where the embedding is not of the active space, which comes back with the corpus.

        `exact`: measure all vectors of the tenant, else walk the HNSW index. `indexed`: look words up in the GIN index,
        else read the terms of all of its messages; if None, unless `exact`. `now`: what has expired by then is left
        out; None: the clock's.
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
        """Return what decides on the way to a tenant's candidates."""
        async with self._database.connection() as connection:
            return TenantSize(**await load_queries("large_tenants").tenant_size(connection, tenant_id=tenant_id))

    async def neighbors(
        self, request: SearchRequest, message_ids: Sequence[UUID], now: datetime
    ) -> dict[UUID, list[Neighbor]]:
        """At most `request.neighbors` turns before and after each message that have not expired, in time order."""
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
    """An index holds vectors of one number of dimensions, which has to be written where it is to be used."""
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
    """The parameters of `find_candidates`, but for the ways that it takes."""
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
    """Rows of `find_candidates`: a candidate's columns, and behind the first, which may lack them, the corpus."""
    if not rows:
        return Candidates([])
    found = [Candidate(*row[:_COLUMNS]) for row in rows if row[0] is not None]
    return Candidates(found, Corpus(*orjson.loads(rows[0][_COLUMNS])))
