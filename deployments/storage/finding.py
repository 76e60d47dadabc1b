"""Finds a search's candidates; which way, the tenant's size decides."""

from enum import StrEnum
from functools import partial
from typing import NamedTuple

from deployments.embedding.providers.protocol import QueryVector
from deployments.search.analysis.query import AnalyzedQuery
from deployments.search_schemas import SearchRequest
from deployments.settings import SearchSettings
from deployments.storage.candidates import CandidateRepository, Candidates

# Up to so many messages reading the terms of all is as quick as the GIN index, and needs no index that is up to date.
WORDS_SCANNED = 2_000


class Way(StrEnum):
    """How vectors were found: all of the tenant's measured, or the HNSW index walked."""

    EXACT = "exact"
    WALK = "walk"
    EXACT_AFTER_WALK = "exact_after_walk"


class Finding(NamedTuple):
    """What was found, and how."""

    candidates: Candidates
    way: Way


async def find(
    repository: CandidateRepository,
    request: SearchRequest,
    query: AnalyzedQuery,
    embedding: QueryVector | None,
    settings: SearchSettings,
    size: int,
) -> Finding:
    """One round trip; a second one only where the HNSW walk ended before it had found enough.

    `size`: how many vectors the tenant has, as far as is known. Raises `DatabaseUnavailableError`, `OverloadedError`.
    """
    limit = max(settings.candidates, request.top_k)
    exact, scan_words = size <= settings.exact_limit, size <= WORDS_SCANNED
    by = partial(repository.find, request, query, embedding, limit=limit, scan_words=scan_words)
    candidates = await by(exact=exact)
    if exact or embedding is None or embedding.space != candidates.corpus.space:
        return Finding(candidates, Way.EXACT if exact else Way.WALK)
    if candidates.corpus.near < limit:
        return Finding(await by(exact=True), Way.EXACT_AFTER_WALK)
    return Finding(candidates, Way.WALK)
