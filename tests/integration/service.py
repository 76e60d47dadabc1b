"""The whole service in one process: the same parts as under Ray, wired without handles."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Self

import httpx
import yaml
from fastapi import FastAPI
from opentelemetry.trace import Span

from deployments.embedding.instruments import EmbeddingInstruments, MeasuredProvider
from deployments.embedding.provider_probe import ProviderProbe
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding.query_cache import QueryCache
from deployments.embedding.spaces import OneSpace, SpaceProviders
from deployments.embedding.worker import EmbeddingWorker
from deployments.errors import EmbeddingError, MemoryLayerError
from deployments.rate_limits.counter import TakeMany, WindowCounter
from deployments.rate_limits.limiter import LimitCounts, RateLimiter
from deployments.rate_limits.memory_storage import BoundedMemoryStorage
from deployments.runtime.capacity import Capacity
from deployments.runtime.liveness import Liveness
from deployments.runtime.metrics.replica import ReplicaMetrics
from deployments.runtime.metrics.snapshot import exposition, take
from deployments.schemas.vectors import EmbeddingSpace, QueryVector
from deployments.scoring.importance import importance
from deployments.scoring.scorable import Scorable
from deployments.search.answering import Answering
from deployments.search.context.assembler import Context, ContextAssembler
from deployments.search.create import create_engine
from deployments.search.instruments import IndexInstruments, SearchInstruments
from deployments.search.plans import Search
from deployments.search.reranking.stage import RerankStage, create_stage
from deployments.search.routing.affinity import Send
from deployments.search.routing.whole_answers import AnswerCalls
from deployments.settings import Settings
from deployments.storage.embeddings.jobs import EmbeddingJobRepository
from deployments.storage.embeddings.spaces import EmbeddingSpaceRepository
from deployments.storage.messages.reanalyses import ReanalysisRepository
from deployments.storage.messages.recent_turns import RecentTurnRepository
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.health import pool_problem
from deployments.storage.tenants.api_keys import ApiKeyRepository
from deployments.storage.tenants.erasure import ErasureRepository
from deployments.storage.tenants.languages import default_languages
from serve_app.api import create_app
from serve_app.edge.instruments import IngressInstruments, IngressMetrics
from serve_app.edge.keyring import Keyring
from serve_app.health import Probes
from serve_app.services import create_services
from tests.integration.postgres import SPACE
from tests.integration.retaining import RetentionJobs
from tests.paths import SERVE_CONFIG

# To searches and to contexts.
Calls = tuple[AnswerCalls[Search], AnswerCalls[Context]]


@cache
def capacity() -> Capacity:
    """What `serve_config.yaml` gives each replica."""
    return Capacity.model_validate(yaml.safe_load(SERVE_CONFIG.read_text())["applications"][0]["args"])


@dataclass
class Service:
    """A client of the API, and the parts behind it that tests drive by hand."""

    client: httpx.AsyncClient
    worker: EmbeddingWorker
    jobs: EmbeddingJobRepository
    database: Database
    settings: Settings
    keys: ApiKeyRepository
    keyring: Keyring
    spaces: "SpaceProviders | _Alone"
    app: FastAPI
    retention: RetentionJobs
    liveness: Liveness
    erasures: ErasureRepository
    reranking: RerankStage | None
    reanalyses: ReanalysisRepository

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        if self.reranking is not None:
            await self.reranking.close()
        await self.database.close()

    async def embed_all(self) -> None:
        """Work until nothing is due."""
        while await self.worker.work_once():
            pass


async def score(messages: Sequence[Scorable], request_ids: Sequence[str]) -> list[float]:
    """What the scoring deployment does."""
    return [importance(role=m.role, content=m.content, name=m.name) for m in messages]


async def well() -> None:
    """What a part says of itself that misses nothing."""


def in_process(answering: Answering) -> Calls:
    """Call what Search answers with directly."""
    return (
        AnswerCalls(lambda _: answering.search_many, lambda _: _joined(answering.search_alone)),
        AnswerCalls(lambda _: answering.assemble_many, lambda _: _joined(answering.assemble_alone)),
    )


def _joined(alone: Callable[[Any], AsyncIterator[bytes | MemoryLayerError]]) -> Send[Any, bytes]:
    async def answer(items: Sequence[Any]) -> list[bytes | MemoryLayerError]:
        found = [part async for part in alone(*items)]
        errors = [part for part in found if isinstance(part, MemoryLayerError)]
        return [*errors] or [b"".join(part for part in found if isinstance(part, bytes))]

    return answer


def create_service(
    settings: Settings,
    provider: EmbeddingProvider | None,
    take_many: TakeMany | None = None,
    counts: LimitCounts | None = None,
    probes: Probes | None = None,
    cross: Callable[[Answering], Calls] = in_process,
) -> Service:
    """Wire the parts together. It is closed at the end of an `async with`. `take_many`: the shared count.

    `probes`: what the other deployments say of themselves, in place of what these parts do.

    `cross`: the way from Ingress to Search and back.

    No provider: those of the spaces that the database holds, as under Ray.
    """
    sizes = capacity()
    assert settings.database.url is not None
    database = Database(settings.database.url.get_secret_value(), settings.database, sizes.ingress.pool.size)
    replica = ReplicaMetrics("Ingress", enabled=True)
    replica.watch_pool(database)
    instruments, embedding = IngressInstruments(replica.registry), EmbeddingInstruments(replica.registry)
    repository = EmbeddingSpaceRepository(database)
    spaces = _Alone(provider, settings, embedding) if provider else SpaceProviders(repository, settings, 4, embedding)

    async def embed(text: str, request_id: str | None, space: EmbeddingSpace | None) -> QueryVector:
        (result,) = await spaces.embed_queries([(text, space)])
        if isinstance(result, EmbeddingError):
            raise result
        return result

    async def text() -> bytes:
        return exposition(take(replica.registry))

    searching = SearchInstruments(replica.registry)
    default = default_languages(settings.search)
    reranking = create_stage(settings.rerank, searching)
    indexes = IndexInstruments(replica.registry)
    engine = create_engine(database, settings.search, embed, searching, indexes, reranking=reranking)
    contexts = ContextAssembler(RecentTurnRepository(database), engine.search, engine.languages_of, searching)

    searches, assemblies = cross(Answering(engine, contexts))
    jobs = EmbeddingJobRepository(database)
    worker = EmbeddingWorker(
        jobs, spaces, score, settings.embedding, batch_size=sizes.embedding.batch, concurrency=1, instruments=embedding
    )
    shared = take_many or WindowCounter(BoundedMemoryStorage()).take_many
    limiter = RateLimiter(settings.rate_limits, shared, sizes.ingress.rate_limits, counts or instruments.limit_counts())
    retention = RetentionJobs(settings)
    probes = probes or Probes(
        search=partial(pool_problem, database),
        embedding=ProviderProbe(spaces.ask).problem,
        scoring=well,
        rate_limits=well,
        metrics=well,
    )
    services = create_services(
        settings,
        sizes.ingress,
        database,
        searches,
        assemblies,
        probes,
        limiter,
        retention.submit,
        metrics=IngressMetrics(replica, instruments, text),
        liveness=Liveness(),
    )
    app = create_app(services)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://service")
    return Service(
        client,
        worker,
        jobs,
        database,
        settings,
        services.keys,
        services.keyring,
        spaces,
        app,
        retention,
        services.liveness,
        services.erasures,
        reranking,
        ReanalysisRepository(database, default),
    )


class _Alone(OneSpace):
    """A provider that a test has made, as if it were all that there is."""

    def __init__(self, provider: EmbeddingProvider, settings: Settings, instruments: EmbeddingInstruments) -> None:
        measured = MeasuredProvider(provider, instruments, SPACE)
        super().__init__(SPACE, measured)
        self._cache = QueryCache(measured.embed_queries, settings.embedding.cache_size, instruments)
        self._probe = measured.probe

    async def embed_queries(
        self, queries: Sequence[tuple[str, EmbeddingSpace | None]], spans: Sequence[Span] = ()
    ) -> list[QueryVector | EmbeddingError]:
        """Vectors of the one space."""
        results = await self._cache.embed([text for text, _ in queries], spans)
        return [each if isinstance(each, EmbeddingError) else QueryVector(SPACE, each) for each in results]

    async def ask(self) -> None:
        """Embed something."""
        await self._probe()

    async def try_the_new_one(self) -> None:
        """There is none."""

    async def close(self) -> None:
        """Whoever made the provider closes it."""
