"""The providers of the database's embedding spaces."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

import structlog
from opentelemetry.trace import Span

from deployments.embedding.instruments import EmbeddingInstruments, MeasuredProvider
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding.providers.registry import create_provider
from deployments.embedding.query_cache import QueryCache
from deployments.embedding_space import settings_for, space_source
from deployments.errors import (
    ConfigurationError,
    EmbeddingError,
    EmbeddingRejectedError,
    EmbeddingUnavailableError,
    MemoryLayerError,
)
from deployments.schemas.vectors import DocumentVectors, EmbeddingSpace, QueryVector, SpaceSource, Vectors
from deployments.settings import Settings
from deployments.storage.embeddings.spaces import EmbeddingSpaceRepository, OtherState, Spaces

logger = structlog.get_logger(__name__)

# How soon a replica sees that a space was added or dropped. It sees a switch of spaces when it matters: a search with
# its results, a worker when it writes.
REFRESH_SECONDS = 1.0
# The longest wait of new messages for the second space's provider. After a failure it is not called for a while: the
# missing vectors are filled in before the spaces are switched.
OTHER_TIMEOUT_SECONDS = 5.0
TRY_SECONDS = 3.0
OTHER_PAUSE_SECONDS = 30.0


class DocumentEmbedder(Protocol):
    """Embeds messages for all spaces of the database."""

    async def embed_documents(self, texts: Sequence[str]) -> DocumentVectors:
        """Return vectors of the active space, and of the other if its provider answers. Raises `EmbeddingError`."""
        ...

    async def refresh(self) -> None:
        """Read the active space from the database. Raises `DatabaseUnavailableError`, `OverloadedError`."""
        ...


@dataclass(frozen=True)
class OneSpace:
    """A single provider, for a database that holds no other space."""

    space: EmbeddingSpace
    provider: EmbeddingProvider

    async def embed_documents(self, texts: Sequence[str]) -> DocumentVectors:
        """Return vectors of the only space."""
        return DocumentVectors(self.space, await self.provider.embed_documents(texts))

    async def refresh(self) -> None:
        """Do nothing: the space cannot change."""


@dataclass(frozen=True)
class _Open:
    """A provider that is ready, with its query cache."""

    space: EmbeddingSpace
    settings: Settings
    provider: MeasuredProvider
    cache: QueryCache


class SpaceProviders:
    """One provider for each space of the database, created when the space appears."""

    def __init__(
        self,
        repository: EmbeddingSpaceRepository,
        settings: Settings,
        provider_requests: int,
        instruments: EmbeddingInstruments | None = None,
    ) -> None:
        """`provider_requests`: how many requests each provider may have in flight."""
        self._repository = repository
        self._settings = settings
        self._provider_requests = provider_requests
        self._instruments = instruments or EmbeddingInstruments()
        self._open: dict[EmbeddingSpace, _Open] = {}
        # Never retried: their settings are missing, and the environment is read only at the start.
        self._unusable: dict[SpaceSource, str] = {}
        self._tried: set[EmbeddingSpace] = set()
        # Retired providers may have requests in flight, and are few, so they are closed only at the end.
        self._retired: list[EmbeddingProvider] = []
        # Used until the database is read, which may be down when the replica starts.
        self._spaces = Spaces(space_source(settings))
        self._refreshing = asyncio.Lock()
        self._other_paused_until = 0.0

    async def start(self) -> None:
        """Create the providers: of the database's spaces, or of the settings if the database does not answer."""
        await self._refresh_or_go_on()
        await self._create(self._spaces.active)

    async def run(self) -> None:
        """Follow changes of the spaces in the database until cancelled."""
        while True:
            try:
                await self._refresh_or_go_on()
                await self.try_the_new_one()
            except Exception:
                # The open providers continue to serve.
                logger.exception("spaces_not_followed")
            await asyncio.sleep(REFRESH_SECONDS)

    async def try_the_new_one(self) -> None:
        """Report to the database why the next space cannot be used here, for example for a wrong key."""
        source = self._spaces.other
        if source is None or self._spaces.other_state is not OtherState.NEXT or source.space in self._tried:
            return
        try:
            await self._provider_of(source).provider.probe(TRY_SECONDS)
            self._tried.add(source.space)
        except EmbeddingError as error:
            await self._report_trouble(error.message)

    async def refresh(self) -> None:
        """Read the spaces from the database, and create or retire providers."""
        async with self._refreshing:
            self._spaces = await self._repository.get() or self._spaces
            await self._create(self._spaces.active)
            if self._spaces.other is not None:
                await self._create(self._spaces.other)
            self._retire_others()

    async def embed_documents(self, texts: Sequence[str]) -> DocumentVectors:
        """Return vectors of the active space, and of the other if its provider answers. Raises `EmbeddingError`."""
        active = self._provider_of(self._spaces.active)
        source = self._spaces.other
        other = self._open.get(source.space) if source else None
        if other is None:
            return DocumentVectors(active.space, await active.provider.embed_documents(texts))
        values, others = await asyncio.gather(active.provider.embed_documents(texts), self._other(other, texts))
        return DocumentVectors(active.space, values, other.space, others)

    async def embed_queries(
        self, queries: Sequence[tuple[str, EmbeddingSpace | None]], spans: Sequence[Span] = ()
    ) -> list[QueryVector | EmbeddingError]:
        """Return a vector or an error for each query, in order: of the wanted space if it exists, else of the active.

        `spans`: one for each query, or empty.
        """
        if any(space is not None and space not in self._open for _, space in queries):
            await self._refresh_or_go_on()
        wanted = [space if space in self._open else self._spaces.active.space for _, space in queries]
        results: dict[int, QueryVector | EmbeddingError] = {}
        for space in dict.fromkeys(wanted):
            places = [place for place, each in enumerate(wanted) if each == space]
            texts = [queries[place][0] for place in places]
            answers = await self._queries(space, texts, [spans[place] for place in places] if spans else ())
            results.update(zip(places, answers, strict=True))
        return [results[place] for place in range(len(queries))]

    async def ask(self) -> None:
        """Probe the provider of the active space. Raises `EmbeddingError`."""
        await self._provider_of(self._spaces.active).provider.probe()

    async def close(self) -> None:
        """Close every provider."""
        for provider in [*self._retired, *(opened.provider for opened in self._open.values())]:
            await provider.close()

    async def _report_trouble(self, trouble: str) -> None:
        try:
            await self._repository.note_trouble(trouble)
        except MemoryLayerError as error:
            logger.warning("trouble_not_noted", trouble=trouble, reason=error.message)

    async def _queries(
        self, space: EmbeddingSpace, texts: list[str], spans: Sequence[Span]
    ) -> list[QueryVector | EmbeddingError]:
        opened = self._open.get(space)
        if opened is None:
            return [self._unusable_error(self._spaces.active)] * len(texts)
        return [
            vector if isinstance(vector, EmbeddingError) else QueryVector(space, vector)
            for vector in await opened.cache.embed(texts, spans)
        ]

    async def _other(self, other: _Open, texts: Sequence[str]) -> Vectors | None:
        if monotonic() < self._other_paused_until:
            return None
        try:
            return await other.provider.embed_documents(texts, OTHER_TIMEOUT_SECONDS)
        except EmbeddingError as error:
            if not isinstance(error, EmbeddingRejectedError):
                self._other_paused_until = monotonic() + OTHER_PAUSE_SECONDS
            logger.warning("other_space_not_filled", reason=error.message)
            return None

    async def _create(self, source: SpaceSource) -> None:
        """Create a source's provider, if that is possible and needed."""
        settings = settings_for(self._settings, source)
        opened = self._open.get(source.space)
        if source in self._unusable or (opened is not None and opened.settings == settings):
            return
        try:
            on_retry = self._instruments.retries.inc
            # In a thread: loading a model takes a while, and would block other queries.
            made = await asyncio.to_thread(create_provider, settings, self._provider_requests, on_retry)
        except ConfigurationError as error:
            self._unusable[source] = error.message
            logger.exception("space_cannot_be_used", model=source.space.model)
            return
        provider = MeasuredProvider(made, self._instruments, source.space)
        cache = QueryCache(provider.embed_queries, self._settings.embedding.cache_size, self._instruments)
        self._open[source.space] = _Open(source.space, settings, provider, cache)
        if opened is not None:
            self._retired.append(opened.provider)

    def _retire_others(self) -> None:
        sources = (self._spaces.active, self._spaces.other)
        known = {source.space for source in sources if source is not None}
        for space in self._open.keys() - known:
            self._tried.discard(space)
            self._retired.append(self._open.pop(space).provider)

    async def _refresh_or_go_on(self) -> None:
        try:
            await self.refresh()
        except MemoryLayerError as error:
            logger.warning("spaces_not_read", reason=error.message)

    def _provider_of(self, source: SpaceSource) -> _Open:
        opened = self._open.get(source.space)
        if opened is None:
            raise self._unusable_error(source)
        return opened

    def _unusable_error(self, source: SpaceSource) -> EmbeddingUnavailableError:
        return EmbeddingUnavailableError(self._unusable.get(source, "The embedding space is not known here yet."))
