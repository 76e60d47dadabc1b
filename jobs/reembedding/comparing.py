"""Compares the search results of two embedding spaces."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from uuid import UUID

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.search.query_embedding import EMBEDDED_CHARACTERS
from deployments.storage.embeddings.reembedding import ReembeddingRepository
from jobs.progress import Advance

FIRST = 10


@dataclass(frozen=True)
class Comparison:
    """`overlap`: share of the first ten hits that both spaces find, 0 to 1, over `messages` queries; None for none."""

    messages: int
    overlap: float | None


async def compare(
    repository: ReembeddingRepository,
    active: EmbeddingProvider,
    other: EmbeddingProvider,
    count: int,
    advance: Advance,
) -> Comparison:
    """Search both spaces for the nearest neighbours of randomly drawn messages, each within its own tenant.

    Raises `EmbeddingError`.
    """
    overlaps = []
    for sampled in await repository.sample(count, FIRST):
        query = [sampled.content[:EMBEDDED_CHARACTERS]]
        (by_active,), (by_other,) = await active.embed_queries(query), await other.embed_queries(query)
        overlaps.append(shared(*await repository.nearest(sampled, by_active, by_other, FIRST)))
        advance(1)
    return Comparison(len(overlaps), fmean(overlaps) if overlaps else None)


def shared(first: Sequence[UUID], second: Sequence[UUID]) -> float:
    """Return the share of the first list that is also in the second, 0 to 1."""
    return len(set(first) & set(second)) / len(first) if first else 1.0
