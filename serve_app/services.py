"""What the routes call: made from handles under Ray, and from plain objects by the integration tests."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from deployments.batching import MicroBatcher
from deployments.capacity import IngressCapacity
from deployments.embedding.providers.registry import embedding_space
from deployments.errors import MemoryLayerError
from deployments.schemas import Message, SearchAnswer
from deployments.search.engine import Search
from deployments.settings import HttpSettings, Settings
from deployments.storage.conversations import ConversationRepository
from deployments.storage.database import Database
from deployments.storage.embedding_jobs import EmbeddingJobRepository
from deployments.storage.messages import Draft, MessageRepository
from deployments.storage.schema import check
from serve_app.health import HealthReporter

SearchMany = Callable[[Sequence[Search]], Awaitable[Sequence[SearchAnswer | MemoryLayerError]]]


@dataclass(frozen=True)
class Services:
    """`store` and `search` gather what waits; the repositories do one call at a time."""

    http: HttpSettings
    messages: MessageRepository
    conversations: ConversationRepository
    health: HealthReporter
    store: Callable[[Draft], Awaitable[Message]]
    search: Callable[[Search], Awaitable[SearchAnswer]]


def create_services(
    settings: Settings,
    capacity: IngressCapacity,
    database: Database,
    search_many: SearchMany,
    probe_embedding: Callable[[], Awaitable[str | None]],
) -> Services:
    """`search_many` answers several searches at once; `probe_embedding` says why embedding is away, or None."""
    messages = MessageRepository(database, settings.search.language)
    stores: MicroBatcher[Draft, Message] = MicroBatcher(
        messages.store,
        max_batch=capacity.store.size,
        slots=capacity.store.slots,
        max_waiting=capacity.store.waiting,
    )
    searches: MicroBatcher[Search, SearchAnswer] = MicroBatcher(
        search_many,
        max_batch=capacity.search.size,
        slots=capacity.search.slots,
        max_waiting=capacity.search.waiting,
    )

    async def check_schema() -> None:
        async with database.connection() as connection:
            await check(connection, embedding_space(settings))

    return Services(
        http=settings.http,
        messages=messages,
        conversations=ConversationRepository(database),
        health=HealthReporter(
            EmbeddingJobRepository(database), check_schema, probe_embedding, settings.runtime.environment
        ),
        store=stores.submit,
        search=searches.submit,
    )
