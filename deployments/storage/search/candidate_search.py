"""Candidate search by SQL, exact or by index, depending on the tenant's size."""

from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from deployments.analysis.query import AnalyzedQuery
from deployments.schemas.candidates import Candidates
from deployments.schemas.search import SearchRequest
from deployments.schemas.vectors import QueryVector
from deployments.settings import SearchSettings
from deployments.storage.search.candidates import CandidateRepository


class VectorScan(StrEnum):
    """The scan that found the vectors: an exact one of the tenant, or one of the HNSW index."""

    EXACT = "exact"
    WALK = "walk"
    EXACT_AFTER_WALK = "exact_after_walk"


class CandidateSearch(NamedTuple):
    """The candidates, and how their vectors were found."""

    candidates: Candidates
    scan: VectorScan


async def find(
    repository: CandidateRepository,
    request: SearchRequest,
    query: AnalyzedQuery,
    embedding: QueryVector | None,
    settings: SearchSettings,
    now: datetime | None = None,
) -> CandidateSearch:
    """Find candidates in two round trips, the first of 0.2 ms, and a third one if the HNSW index returned too few.

    `now`: messages that have expired by then are omitted.
    Raises `DatabaseUnavailableError`, `OverloadedError`.
    """
    limit = max(settings.candidates, request.top_k)
    size = await repository.size(request.tenant_id)
    by = partial(repository.find, request, query, embedding, limit=limit, now=now)
    exact = not size.indexed or size.embedded <= settings.exact_limit
    candidates = await by(exact=exact, indexed=size.indexed)
    if size.indexed and not candidates.corpus.indexed:
        # The tenant has shrunk meanwhile, so the indexes may lack messages.
        return CandidateSearch(await by(exact=True, indexed=False), VectorScan.EXACT)
    if exact or embedding is None or embedding.space != candidates.corpus.space:
        return CandidateSearch(candidates, VectorScan.EXACT if exact else VectorScan.WALK)
    if candidates.corpus.near < limit:
        return CandidateSearch(await by(exact=True, indexed=True), VectorScan.EXACT_AFTER_WALK)
    return CandidateSearch(candidates, VectorScan.WALK)
