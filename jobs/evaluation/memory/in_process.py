"""The service's parts in this process, over temporary databases. Only this module assembles them."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from deployments.embedding.indexing_worker import IndexingWorker
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding.providers.registry import create_provider
from deployments.embedding.spaces import OneSpace
from deployments.embedding.worker import EmbeddingWorker
from deployments.embedding_space import embedding_space
from deployments.errors import InvalidRequestError, MemoryLayerError
from deployments.schemas.messages import MAX_BATCH
from deployments.schemas.search import SearchRequest
from deployments.schemas.vectors import EmbeddingSpace, QueryVector
from deployments.scoring.importance import importance
from deployments.scoring.scorable import Scorable
from deployments.search.create import create_engine
from deployments.search.plans import Search
from deployments.search.query_embedding import PAUSE_SECONDS
from deployments.settings import Settings
from deployments.storage.embeddings.jobs import EmbeddingJobRepository
from deployments.storage.messages.analysis import message_analyzer
from deployments.storage.messages.drafts import draft
from deployments.storage.messages.repository import MessageRepository
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.postgres.temporary import settle, temporary_database, temporary_server
from deployments.storage.search.large_tenants import LargeTenantRepository
from deployments.storage.tenants.languages import default_languages
from jobs.evaluation.configurations import Configuration
from jobs.evaluation.dataset import LabelledMessage, Tenant
from jobs.evaluation.errors import EvaluationFailedError
from jobs.evaluation.memory.protocol import Memory
from jobs.progress import Advance, Progress

EMBEDDED_AT_ONCE = 128
POLL_SECONDS = 0.2
ATTEMPTS = 3
POOL = PoolSize(min_size=1, max_size=4)


@dataclass(frozen=True)
class Store:
    """One temporary database and its embedding provider. `ids`: the dataset's id of each stored message."""

    settings: Settings
    database: Database
    provider: EmbeddingProvider
    ids: dict[UUID, str] = field(default_factory=dict)


@contextmanager
def temporary_settings(settings: Settings, configurations: Sequence[Configuration]) -> Iterator[list[Settings]]:
    """Yield each configuration's settings over a temporary database, shared by configurations that store alike.

    The databases, and the embedded server if there is one, are deleted after the block, also on errors. Do not call it
    while an event loop runs. Raises `ConfigurationError`, `DatabaseUnavailableError`.
    """
    applied = [configuration.applied_to(settings) for configuration in configurations]
    for each in applied:
        embedding_space(each)
    with temporary_server(settings) as server, ExitStack() as stack:
        databases = {
            stored_alike(each): stack.enter_context(temporary_database(server, each, "evaluation")).database
            for each in {stored_alike(each): each for each in applied}.values()
        }
        yield [replace(each, database=databases[stored_alike(each)]) for each in applied]


def stored_alike(settings: Settings) -> Hashable:
    """Return a key that is equal for settings under which messages are stored identically."""
    return settings.embedding, settings.gemini, settings.openai, default_languages(settings.search)


@asynccontextmanager
async def memories_in_process(
    temporary: Sequence[Settings],
    configurations: Sequence[Configuration],
    tenants: Sequence[Tenant],
    progress: Progress,
) -> AsyncIterator[list[Memory]]:
    """Yield a memory for each configuration, over the settings of `temporary_settings`, with the tenants' messages.

    Raises `EvaluationFailedError`, `EmbeddingError`, `DatabaseUnavailableError`.
    """
    async with AsyncExitStack() as stack:
        stores: dict[Hashable, Store] = {}
        for settings in temporary:
            if stored_alike(settings) not in stores:
                store = await stack.enter_async_context(_opened(settings))
                await _fill(store, tenants, progress)
                stores[stored_alike(settings)] = store
        yield [
            InProcessMemory(stores[stored_alike(settings)], settings, configuration)
            for settings, configuration in zip(temporary, configurations, strict=True)
        ]


class InProcessMemory:
    """A store, searched like in the search deployment, but without a query cache: each query is embedded."""

    def __init__(self, store: Store, settings: Settings, configuration: Configuration) -> None:
        self._store = store
        self._weights = configuration.weights
        self._space = embedding_space(settings)
        self._engine = create_engine(store.database, settings.search, self._embed)

    async def ask(self, tenant: int, question: str, top_k: int) -> list[str]:
        """Return the ids of the hits, best first. Raises `EvaluationFailedError`."""
        request = SearchRequest(tenant_id=str(tenant), query=question, top_k=top_k, weights=self._weights)
        for _ in range(ATTEMPTS):
            (answer,) = await self._engine.search_many([Search(request, None)])
            if isinstance(answer, MemoryLayerError):
                raise EvaluationFailedError(f"A search failed: {answer.message} ({question[:80]!r})")
            if not answer.degraded:
                return [self._store.ids[hit.message_id] for hit in answer.items]
            await asyncio.sleep(PAUSE_SECONDS)
        raise EvaluationFailedError(f"A question could not be embedded in {ATTEMPTS} attempts: {question[:80]!r}")

    async def _embed(self, text: str, _request_id: str | None, _space: EmbeddingSpace | None) -> QueryVector:
        return QueryVector(self._space, (await self._store.provider.embed_queries([text]))[0])


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Store]:
    url = settings.database.url
    if url is None:
        raise EvaluationFailedError("An evaluation runs over temporary databases only.")
    database = Database(url.get_secret_value(), settings.database, POOL)
    provider = create_provider(settings)
    try:
        yield Store(settings, database, provider)
    finally:
        await provider.close()
        await database.close()


async def _fill(store: Store, tenants: Sequence[Tenant], progress: Progress) -> None:
    # Check before storing: a worker would retry for minutes before it reports an unavailable provider.
    await store.provider.embed_queries(["ping"])
    count = sum(len(tenant.messages) for tenant in tenants)
    with progress.step("storing messages", count) as advance:
        messages = MessageRepository(store.database, message_analyzer(store.database, store.settings.search))
        for number, tenant in enumerate(tenants):
            for start in range(0, len(tenant.messages), MAX_BATCH):
                batch = tenant.messages[start : start + MAX_BATCH]
                await _store(store, messages, number, batch)
                advance(len(batch))
    space = embedding_space(store.settings)
    with progress.step(f"embedding ({space.model}, {space.dimensions})", count) as advance:
        await _embed_all(store, advance)
    await IndexingWorker(LargeTenantRepository(store.database, store.settings.search)).work_once()
    await settle(store.database)


async def _store(store: Store, messages: MessageRepository, tenant: int, batch: Sequence[LabelledMessage]) -> None:
    now = datetime.now(UTC)
    drafts = [draft(each.message.model_copy(update={"tenant_id": str(tenant)}), None, now) for each in batch]
    store.ids.update((drafted.message.id, each.id) for drafted, each in zip(drafts, batch, strict=True))
    for stored, each in zip(await messages.store(drafts), batch, strict=True):
        if isinstance(stored, InvalidRequestError):
            raise EvaluationFailedError(f"Message {each.id} was refused: {stored.message}")


async def _embed_all(store: Store, advance: Advance) -> None:
    jobs = EmbeddingJobRepository(store.database)
    embedder = OneSpace(embedding_space(store.settings), store.provider)
    worker = EmbeddingWorker(
        jobs, embedder, _score, store.settings.embedding, batch_size=EMBEDDED_AT_ONCE, concurrency=1
    )
    counts = await jobs.counts()
    while counts.pending:
        if not await worker.work_once():
            # Messages that failed temporarily are due again after a pause.
            await asyncio.sleep(POLL_SECONDS)
        before, counts = counts, await jobs.counts()
        advance(before.pending - counts.pending)
        if counts.failed:
            raise EvaluationFailedError(f"{counts.failed} messages could not be embedded: the log says why")


async def _score(messages: Sequence[Scorable], _request_ids: Sequence[str]) -> list[float]:
    return [importance(role=each.role, content=each.content, name=each.name) for each in messages]
