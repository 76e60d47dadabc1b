"""Words are found in all the forms that the configured language knows."""

from dataclasses import replace
from typing import Any

import pytest

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.settings import Settings
from tests.integration.calls import found, message, store_many
from tests.integration.service import Service, create_service


async def fill(service: Service, content: str) -> None:
    """What is to be found, beside what is not; no turn beside another."""
    texts = ("I love Python programming", content)
    await store_many(service, [message(text, conversation_id=f"c{n}") for n, text in enumerate(texts)])


@pytest.fixture
async def speaking(settings: Settings, provider: EmbeddingProvider, request: pytest.FixtureRequest) -> Any:
    """The service, told another language."""
    other = replace(settings, search=settings.search.model_copy(update={"language": request.param}))
    async with create_service(other, provider) as told:
        yield told


@pytest.mark.parametrize("speaking", ["simple"], indirect=True)
async def test_the_plain_language_finds_words_as_they_are_written(speaking: Service) -> None:
    await fill(speaking, "He was running from the zebras")

    assert await found(speaking, "run zebra") == []
    assert await found(speaking, "RUNNING") == ["He was running from the zebras"]
    assert "He was running from the zebras" in await found(speaking, "from the")


@pytest.mark.parametrize("speaking", ["german"], indirect=True)
async def test_german_words_are_found_in_all_their_forms(speaking: Service) -> None:
    await fill(speaking, "Die Kinder spielten in den Gärten")

    assert await found(speaking, "Kindern") == ["Die Kinder spielten in den Gärten"]
    assert await found(speaking, "Garten") == ["Die Kinder spielten in den Gärten"]
    assert await found(speaking, "die in den") == []


async def test_english_words_are_found_in_all_their_forms(service: Service) -> None:
    await fill(service, "He was running from the zebras")

    assert await found(service, "run zebra") == ["He was running from the zebras"]
    assert await found(service, "from the") == []
