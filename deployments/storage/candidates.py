"""The candidates of a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
import orjson
from pgvector import HalfVector

from deployments.schemas import Neighbor, SearchParameters, SearchRequest
from deployments.storage.database import Database
from deployments.storage.named_queries import load_queries

# Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), give 1.2 to 2 and 0.75 for
# long documents; for turns of a chat, 0.9 and 0.4 (Anserini's defaults) did better: docs/measurements.md.
BM25_K1 = 0.9
BM25_B = 0.4
ROUGH_LIMIT = 2_000


class Candidate(NamedTuple):
    """A message that one of the sides found; the columns of `find_candidates`, in their order.

    `similarity`: cosine, -1 to 1, None while there is no embedding. `words`: BM25, 0 and up, 0 where the words
    were not among the best. `importance`: 0 to 1, None until scored. `metadata`: JSON.
    """

    id: UUID
    conversation_id: str
    role: str
    name: str | None
    content: str
    metadata: str
    created_at: datetime
    importance: float | None
    similarity: float | None
    words: float


_COLUMNS = len(Candidate._fields)
_PARAMETERS = set(SearchParameters.model_fields) - {"top_k"}


@dataclass(frozen=True)
class Candidates:
    """What was found, how many of it by meaning, and how many of the tenant's messages have an embedding."""

    found: list[Candidate]
    near: int = 0
    embedded: int = 0


class CandidateRepository:
    """Finds candidates by meaning and by words in one round trip."""

    def __init__(self, database: Database, language: str, dimensions: int) -> None:
        self._database = database
        self._language = language
        self._queries = load_queries("search", dimensions=dimensions)

    async def find(
        self,
        request: SearchRequest,
        embedding: npt.NDArray[np.float32] | None,
        *,
        exact: bool,
        limit: int,
    ) -> Candidates:
        """At most `limit` candidates of each side, in no order. Without an embedding, by words alone.

        `exact`: measure all vectors of the tenant, else walk the HNSW index.
        Raises `DatabaseUnavailableError`, `OverloadedError`.
        """
        async with self._database.connection() as connection:
            rows = self._queries.find_candidates(
                connection,
                **request.model_dump(include=_PARAMETERS),
                metadata=None if request.metadata is None else orjson.dumps(request.metadata).decode(),
                embedding=None if embedding is None else HalfVector(embedding),
                exact=exact,
                limit=limit,
                rough_limit=ROUGH_LIMIT,
                language=self._language,
                k1=BM25_K1,
                b=BM25_B,
            )
            found = [row async for row in rows]
        if not found:
            return Candidates([])
        return Candidates([to_candidate(row) for row in found], found[0]["near"], found[0]["embedded"] or 0)

    async def neighbors(self, tenant_id: str, message_ids: Sequence[UUID], reach: int) -> dict[UUID, list[Neighbor]]:
        """At most `reach` turns before and after each message, in time order."""
        around: dict[UUID, list[Neighbor]] = {message_id: [] for message_id in message_ids}
        async with self._database.connection() as connection:
            rows = self._queries.find_neighbors(connection, tenant_id=tenant_id, ids=list(message_ids), reach=reach)
            async for row in rows:
                fields = dict(row)
                hit = fields.pop("hit_id")
                around[hit].append(Neighbor(message_id=fields.pop("id"), **fields))
        return around


def to_candidate(row: Sequence[Any]) -> Candidate:
    """A row of `find_candidates`, whose first columns are a candidate's."""
    return Candidate(*row[:_COLUMNS])
