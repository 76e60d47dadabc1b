"""Settings that point to the stand-in, and providers made from them."""

import os
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding.providers.registry import create_provider
from deployments.settings import Settings

from .stand_in import StandIn

KEY = "AIza-sk-0123456789-never-to-be-seen"

SettingsFor = Callable[..., Settings]
MakeProvider = Callable[[EmbeddingProvider], EmbeddingProvider]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A fresh server, to be reached without a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = StandIn()
    yield server
    server.close()


@pytest.fixture
def settings_for(monkeypatch: pytest.MonkeyPatch) -> SettingsFor:
    """Settings as read from an environment that holds only what is given: a provider and further names."""

    def load(provider: str, **environment: str) -> Settings:
        for name in [name for name in os.environ if name.startswith("MEMORY_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("MEMORY_EMBEDDING_PROVIDER", provider)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Settings.load()

    return load


@pytest.fixture
def stand_in_settings(settings_for: SettingsFor, stand_in: StandIn) -> SettingsFor:
    """Settings under which a provider talks to the stand-in."""

    def load(provider: str, **environment: str) -> Settings:
        defaults = {
            "MEMORY_GEMINI_API_KEY": KEY,
            "MEMORY_GEMINI_API_ENDPOINT": stand_in.address,
            "MEMORY_OPENAI_API_KEY": KEY,
            "MEMORY_OPENAI_BASE_URL": f"{stand_in.address}/v1",
        }
        return settings_for(provider, **(defaults | environment))

    return load


@pytest.fixture
async def closing() -> AsyncIterator[MakeProvider]:
    """Closes what it was given, when the test ends."""
    providers: list[EmbeddingProvider] = []

    def keep(provider: EmbeddingProvider) -> EmbeddingProvider:
        providers.append(provider)
        return provider

    yield keep
    for provider in providers:
        await provider.close()


@pytest.fixture
def make_provider(stand_in_settings: SettingsFor, closing: MakeProvider) -> Callable[..., EmbeddingProvider]:
    """Providers as the service makes them, on the stand-in."""

    def make(provider: str, requests_in_flight: int = 4, **environment: str) -> EmbeddingProvider:
        return closing(create_provider(stand_in_settings(provider, **environment), requests_in_flight))

    return make
