"""Fills a memory of many tenants as an import does: in batches, each message with its embedding."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from pgvector import HalfVector
from uuid_utils.compat import uuid7

from deployments.analysis.policy import LanguagePolicy
from deployments.embedding.document import document_text
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.scoring.importance import importance
from deployments.storage.messages.analysis import Said, terms_of
from deployments.storage.postgres.database import Database
from jobs.progress import Advance

AT_ONCE = 2_000
# The other tenants of the database: these sizes, and one that has the rest.
SMALL_SIZES = (20, 50, 200, 1_000)
LARGEST_OTHER = 10_000
_YEARS_BACK_SECONDS = 2 * 365 * 24 * 3600
_ROLES = ("user", "assistant")

# Each message has a conversation of its own, so that no search loads neighbouring turns.
_LARGE = "INSERT INTO large_tenants (tenant_id, state) VALUES ($1, 'ready') ON CONFLICT DO NOTHING"
_INSERT = """
    INSERT INTO messages (id, tenant_id, conversation_id, role, content, importance, embedding, embedding_status,
                          terms, analysis, created_at, updated_at)
    SELECT id, $2, id::text, role, content, importance, embedding, 'completed', terms::tsvector, $3, created_at,
           created_at
    FROM unnest($1::uuid[], $4::text[], $5::text[], $6::float8[], $7::halfvec[], $8::timestamptz[], $9::text[])
        AS t (id, role, content, importance, embedding, created_at, terms)
"""


class LargeMemory:
    """Stores messages of tenants, with times of the last two years in random order."""

    def __init__(self, database: Database, provider: EmbeddingProvider, policy: LanguagePolicy, seed: int) -> None:
        self._database = database
        self._provider = provider
        self._policy = policy
        self._random = random.Random(seed)
        self._now = datetime.now(UTC)

    async def store(self, tenant_id: str, texts: Sequence[str], advance: Advance) -> None:
        """Store texts as messages of a large tenant, with their embeddings, so that the HNSW index covers them."""
        async with self._database.connection() as connection:
            await connection.execute(_LARGE, tenant_id)
        for start in range(0, len(texts), AT_ONCE):
            batch = texts[start : start + AT_ONCE]
            await self._insert(tenant_id, batch)
            advance(len(batch))

    async def _insert(self, tenant_id: str, texts: Sequence[str]) -> None:
        roles = [self._random.choice(_ROLES) for _ in texts]
        times = [self._now - timedelta(seconds=self._random.uniform(0, _YEARS_BACK_SECONDS)) for _ in texts]
        said = list(zip(roles, texts, times, strict=True))
        terms = [terms_of(Said(tenant_id, None, text, at, None), self._policy).literal for _, text, at in said]
        vectors = await self._provider.embed_documents([document_text(role, None, text, at) for role, text, at in said])
        scores = [importance(role=role, content=text, name=None) for role, text in zip(roles, texts, strict=True)]
        ids = [uuid7() for _ in texts]
        embeddings = [HalfVector(vector) for vector in vectors]
        async with self._database.connection() as connection:
            await connection.execute(
                _INSERT, ids, tenant_id, self._policy.tag, roles, texts, scores, embeddings, times, terms
            )


def other_tenants(rows: int) -> dict[str, int]:
    """Return names and sizes of the other tenants: a few small ones first, then ones of `LARGEST_OTHER` rows."""
    sizes: list[int] = []
    wanted = iter((*SMALL_SIZES, *[LARGEST_OTHER] * (rows // LARGEST_OTHER + 1)))
    while (left := rows - sum(sizes)) > 0:
        sizes.append(min(left, next(wanted)))
    return {f"other-{number}-of-{size}": size for number, size in enumerate(sizes)}


def dealt(texts: Iterator[str], sizes: dict[str, int]) -> dict[str, list[str]]:
    """Return each tenant's share of the texts."""
    return {tenant_id: list(islice(texts, size)) for tenant_id, size in sizes.items()}
