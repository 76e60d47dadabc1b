"""While a database has a second space, whose provider is away or does not answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from deployments.embedding import spaces as embedding_spaces
from deployments.embedding.providers.local import LocalProvider
from deployments.errors import EmbeddingError, EmbeddingRejectedError, EmbeddingUnavailableError
from deployments.schemas.vectors import EmbeddingSpace
from deployments.settings import Settings
from jobs.reembedding import running
from tests.integration.calls import store
from tests.integration.postgres import SPACE
from tests.integration.service import Service
from tests.integration.two_spaces import SMALL, TO_SMALL, fill, not_embedded, replica, run, spaces


@pytest.fixture
async def service(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """A replica that meets a new space at once, with messages."""
    monkeypatch.setattr(running, "KNOWN_SECONDS", 0.0)
    async with replica(settings) as service:
        await fill(service, 4)
        yield service


async def test_the_second_provider_holds_up_no_message(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await run(*TO_SMALL, "--no-switch") == 0
    await service.spaces.refresh()
    failures: list[EmbeddingError] = []

    async def away(_: Sequence[str]) -> None:
        failures.append(EmbeddingUnavailableError("Away."))
        raise failures[-1]

    monkeypatch.setattr(LocalProvider, "embed_documents", failing_in(SMALL, away))
    for number in range(3):
        await store(service, f"while the second is away {number}")
        await service.embed_all()

    # After the first failure it is left alone for a while.
    assert len(failures) == 1
    assert await not_embedded(service, 256, 128) == 3


async def test_a_text_that_the_second_provider_rejects_does_not_pause_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await run(*TO_SMALL, "--no-switch") == 0
    await service.spaces.refresh()

    async def reject(texts: Sequence[str]) -> None:
        if any("forbidden" in text for text in texts):
            raise EmbeddingRejectedError("It is not allowed.")

    monkeypatch.setattr(LocalProvider, "embed_documents", failing_in(SMALL, reject))
    for said in ("forbidden apples", "apples"):
        await store(service, said)
        await service.embed_all()

    assert await not_embedded(service, 256, 128) == 1


async def test_a_second_provider_that_does_not_answer_is_given_up_and_counted(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def never(_: Sequence[str]) -> None:
        await asyncio.Event().wait()

    assert await run(*TO_SMALL, "--no-switch") == 0
    await service.spaces.refresh()
    for limit in ("OTHER_TIMEOUT_SECONDS", "TRY_SECONDS"):
        monkeypatch.setattr(embedding_spaces, limit, 0.05)
    for method in ("embed_documents", "embed_queries"):
        monkeypatch.setattr(LocalProvider, method, failing_in(SMALL, never))
    await store(service, "while the second does not answer")
    await service.embed_all()
    await service.spaces.try_the_new_one()

    assert await not_embedded(service, 256, 128) == 1
    assert await run("--status") == 0
    assert "a replica cannot use it: The embedding provider takes long to answer." in capsys.readouterr().out
    measured = (await service.client.get("/metrics")).text
    for purpose in ("documents", "probe"):
        line = f'embedding_provider_errors_total{{code="embedding_unavailable",purpose="{purpose}"}} 1.0'
        assert line in measured.splitlines()


async def test_it_does_not_switch_to_a_provider_that_a_replica_cannot_reach(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(*TO_SMALL, "--no-switch") == 0
    with monkeypatch.context() as broken:
        broken.setattr(LocalProvider, "embed_queries", failing_in(SMALL, away_for_good))
        await service.spaces.refresh()
        await service.spaces.try_the_new_one()

    assert await run(*TO_SMALL) == 1
    assert "A replica of the service cannot use the new space: Away for good." in capsys.readouterr().err
    assert (await spaces(service)).active.space == SPACE


async def away_for_good(_: Sequence[str]) -> None:
    raise EmbeddingUnavailableError("Away for good.")


def failing_in(space: EmbeddingSpace, happens: Callable[[Sequence[str]], Awaitable[None]]) -> Callable[..., object]:
    """The local provider's method, disturbed in one space alone."""
    embed = LocalProvider.embed_documents

    async def embed_documents(self: LocalProvider, texts: Sequence[str]) -> object:
        if self._dimensions == space.dimensions:
            await happens(texts)
        return await embed(self, texts)

    return embed_documents
