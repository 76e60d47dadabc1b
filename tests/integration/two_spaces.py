"""A service that knows the spaces of its database, and the job that fills, switches and drops them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from deployments.embedding.providers.local import LocalProvider
from deployments.schemas.vectors import EmbeddingSpace, Vectors
from deployments.settings import Settings
from deployments.storage.embeddings.reembedding import reembedding
from deployments.storage.embeddings.spaces import Spaces
from jobs.reembed import main
from tests.integration.calls import message, store_many
from tests.integration.postgres import SPACE
from tests.integration.service import Service, create_service

SMALL = EmbeddingSpace(SPACE.model, 128)
TO_SMALL = ("--provider", "local", "--dimensions", "128")
FRUITS = ("apples", "pears", "cherries", "plums", "quinces", "medlars", "sorbs", "damsons")
# Each message says what no other says, so that searches by words alone find nothing else.
NOT_EMBEDDED = """
    SELECT count(*) FROM messages WHERE embedding IS NULL OR vector_dims(embedding) <> $1
        OR (other_embedding IS NULL) <> ($2::integer IS NULL) OR vector_dims(other_embedding) <> $2::integer
"""


@asynccontextmanager
async def replica(settings: Settings) -> AsyncIterator[Service]:
    """A service of its own over the settings' database, with a provider for each space there."""
    async with create_service(settings, None) as service:
        await service.spaces.refresh()
        yield service
    await service.spaces.close()


async def run(*arguments: str) -> int:
    """What the job returns. It is not to wait for as long as it would."""
    return await asyncio.to_thread(main, arguments if "--patience" in arguments else (*arguments, "--patience", "60"))


async def fill(service: Service, count: int = 24, tenant_id: str = "acme") -> list[str]:
    """Store and embed messages; their ids."""
    said = [f"I have {number} {FRUITS[number % len(FRUITS)]} in basket {number}" for number in range(count)]
    stored = await store_many(service, [message(each, tenant_id=tenant_id) for each in said])
    await service.embed_all()
    return [each["id"] for each in stored]


async def spaces(service: Service) -> Spaces:
    """What the database says."""
    async with reembedding(service.database) as repository:
        return await repository.spaces()


async def not_embedded(service: Service, active: int, other: int | None) -> int:
    """How many messages lack a vector of either number of dimensions; None: there is no other space."""
    async with service.database.connection() as connection:
        count: int = await connection.fetchval(NOT_EMBEDDED, active, other)
    return count


class Interrupted:
    """The local provider in few dimensions; something else happens each time before it embeds messages."""

    def __init__(self, happens: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        self._local = LocalProvider(SMALL)
        self._happens = happens

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Let it happen, then embed."""
        await self._happens(texts)
        return await self._local.embed_documents(texts)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed."""
        return await self._local.embed_queries(texts)

    async def close(self) -> None:
        """Give back the thread."""
        await self._local.close()
