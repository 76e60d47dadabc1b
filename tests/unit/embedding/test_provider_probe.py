"""What is told of the provider to those who hold no key, over the wire."""

import asyncio
from collections.abc import Callable

import pytest

from deployments.embedding import provider_probe
from deployments.embedding.provider_probe import ProviderProbe
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.errors import EmbeddingUnavailableError

from .conftest import KEY
from .stand_in import Scripted, StandIn

MakeProvider = Callable[..., EmbeddingProvider]


def probe_of(provider: EmbeddingProvider) -> ProviderProbe:
    async def ask() -> None:
        await provider.embed_queries(["ping"])

    return ProviderProbe(ask)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "The embedding provider refuses the key (HTTP 401)."),
        (403, "The embedding provider refuses the key (HTTP 403)."),
        (404, "The embedding provider does not know the model (HTTP 404)."),
        (422, "The embedding provider answers HTTP 422."),
    ],
)
async def test_a_providers_own_words_are_not_told(
    make_provider: MakeProvider, stand_in: StandIn, status: int, told: str
) -> None:
    said = f"project 4711 of bob@example.com with {KEY}"
    stand_in.always = Scripted(status, {"error": {"message": said}})
    provider = make_provider("openai_compatible", MEMORY_EMBEDDING_DIMENSIONS="96")

    assert await probe_of(provider).problem() == told


async def test_a_provider_that_is_slow_is_said_to_be_slow_and_asked_once(
    make_provider: MakeProvider, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_probe, "TIMEOUT_SECONDS", 0.05)
    stand_in.hold()
    probe = probe_of(make_provider("openai_compatible", MEMORY_EMBEDDING_DIMENSIONS="96"))

    assert {await probe.problem() for _ in range(3)} == {"The embedding provider takes long to answer."}
    stand_in.release()
    async with asyncio.timeout(20):
        while await probe.problem() is not None:
            pass
    assert len(stand_in.received) == 1


async def test_a_provider_that_works_again_is_found_to_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [EmbeddingUnavailableError("It is away."), None]
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    probe = ProviderProbe(ask)

    assert [await probe.problem() for _ in range(2)] == ["It is away."] * 2
    assert asked == 1
    monkeypatch.setattr(probe, "_due", 0)
    assert await probe.problem() is None


async def test_a_fault_of_ours_is_not_taken_for_health() -> None:
    async def ask() -> None:
        raise ZeroDivisionError

    assert await ProviderProbe(ask).problem() == "The embedding provider fails in a way that nobody expected."
