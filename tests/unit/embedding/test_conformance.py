"""What every provider does alike. Each test runs over all of them, made as the service makes them."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding_space import embedding_space
from deployments.errors import EmbeddingRejectedError

from .conftest import SettingsFor
from .e5 import skip_without_e5
from .stand_in import StandIn

RESIZABLE = ["local", "google_gemini", "openai_compatible"]
MANY = [f"The guest in room {number} asked for tea at {number % 12} o'clock." for number in range(250)]


@pytest.fixture(params=[*RESIZABLE, "e5"])
def name(request: pytest.FixtureRequest) -> str:
    """The provider's name, as in the settings."""
    if request.param == "e5":
        skip_without_e5()
    return str(request.param)


@pytest.fixture
def provider(name: str, make_provider: Callable[..., EmbeddingProvider]) -> EmbeddingProvider:
    """The provider under its default settings."""
    return make_provider(name)


@pytest.fixture
def dimensions(name: str, stand_in_settings: SettingsFor) -> int:
    """What the registry says of the space, before any model is loaded."""
    return embedding_space(stand_in_settings(name)).dimensions


async def test_documents_become_float32_rows_of_length_one(
    provider: EmbeddingProvider, dimensions: int, stand_in: StandIn
) -> None:
    stand_in.dimensions = dimensions
    vectors = await provider.embed_documents(["Ana moved to Lisbon.", "Tea", "It rained all day."])
    assert vectors.shape == (3, dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


async def test_queries_become_float32_rows_of_length_one(
    provider: EmbeddingProvider, dimensions: int, stand_in: StandIn
) -> None:
    stand_in.dimensions = dimensions
    vectors = await provider.embed_queries(["Where does Ana live?"])
    assert vectors.shape == (1, dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("name", RESIZABLE)
@pytest.mark.parametrize("asked", [64, 128])
async def test_the_number_of_dimensions_can_be_set(
    name: str, make_provider: Callable[..., EmbeddingProvider], asked: int
) -> None:
    provider = make_provider(name, MEMORY_EMBEDDING_DIMENSIONS=str(asked))
    assert (await provider.embed_documents(["tea"])).shape == (1, asked)


@pytest.mark.parametrize("name", RESIZABLE)
async def test_many_texts_keep_their_order(name: str, make_provider: Callable[..., EmbeddingProvider]) -> None:
    provider = make_provider(name, MEMORY_EMBEDDING_DIMENSIONS="64")
    together = await provider.embed_documents(MANY)
    assert together.shape == (250, 64)
    for position in (0, 99, 100, 101, 199, 200, 249):
        alone = await provider.embed_documents([MANY[position]])
        np.testing.assert_allclose(together[position], alone[0], atol=1e-6)
    # Not 250: a mean over tokens does not tell rooms 102 and 210 apart.
    assert len(np.unique(together, axis=0)) > 200


@pytest.mark.parametrize("name", RESIZABLE)
async def test_one_request_holds_a_hundred_texts_at_most(
    name: str, make_provider: Callable[..., EmbeddingProvider], stand_in: StandIn
) -> None:
    provider = make_provider(name, MEMORY_EMBEDDING_DIMENSIONS="64")
    await provider.embed_documents(MANY)
    sizes = sorted(len(request.texts) for request in stand_in.received)
    assert sizes == ([] if name == "local" else [50, 100, 100])


async def test_the_same_text_gives_the_same_vector(
    provider: EmbeddingProvider, dimensions: int, stand_in: StandIn
) -> None:
    stand_in.dimensions = dimensions
    first = await provider.embed_documents(["Ana moved to Lisbon.", "tea"])
    second = await provider.embed_documents(["tea", "Ana moved to Lisbon."])
    np.testing.assert_array_equal(first, second[::-1])


async def test_no_texts_are_no_rows_and_no_request(
    provider: EmbeddingProvider, dimensions: int, stand_in: StandIn
) -> None:
    for vectors in (await provider.embed_documents([]), await provider.embed_queries([])):
        assert vectors.shape == (0, dimensions)
        assert vectors.dtype == np.float32
    assert stand_in.received == []


@pytest.mark.parametrize(
    "text",
    [
        "Größe, naïve, Ærøskøbing",
        "東京で会いましょう",
        "مرحبا بالعالم",
        "👩‍👩‍👧‍👦 🇵🇹 😀",
        "e\u0301 combining, zero\u200bwidth, \ufeff bom",
        "tabs\tand\nlines\r\n",
        "Ana moved to Lisbon. " * 2_000,
    ],
    ids=["latin", "cjk", "rtl", "emoji", "marks", "control", "long"],
)
async def test_any_unicode_text_has_a_vector(
    provider: EmbeddingProvider, dimensions: int, stand_in: StandIn, text: str
) -> None:
    stand_in.dimensions = dimensions
    vectors = await provider.embed_documents([text, "tea"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    sent = [each for request in stand_in.received for each in request.texts]
    assert "".join(sent) in {"", f"{text}tea"}


@pytest.mark.parametrize("name", ["google_gemini", "openai_compatible"])
async def test_a_long_text_is_sent_whole_in_windows_and_has_one_vector(
    name: str, make_provider: Callable[..., EmbeddingProvider], stand_in: StandIn
) -> None:
    provider = make_provider(name, MEMORY_EMBEDDING_DIMENSIONS="64", MEMORY_OPENAI_MAX_INPUT_BYTES="2000")
    text = "Ana moved to Lisbon. 東京で会いましょう 😀 " * 2_500

    both = await provider.embed_documents(["tea", text[:100_000], "milk"])

    sent = [each for request in stand_in.received for each in request.texts]
    windows = [each for each in sent if each not in {"tea", "milk"}]
    assert "".join(windows) == text[:100_000]
    assert max(len(each.encode()) for each in windows) <= 2_000
    parts = await provider.embed_documents(windows)
    mean = np.average(parts, axis=0, weights=[len(each) for each in windows])
    np.testing.assert_allclose(both[1], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(both[[0, 2]], await provider.embed_documents(["tea", "milk"]), atol=1e-6)


async def test_half_a_surrogate_pair_is_rejected(provider: EmbeddingProvider, stand_in: StandIn) -> None:
    with pytest.raises(EmbeddingRejectedError, match="surrogate"):
        await provider.embed_documents(["fine", "broken \ud83d"])
    assert stand_in.received == []


@pytest.mark.parametrize("name", RESIZABLE)
async def test_concurrent_calls_do_not_mix(name: str, make_provider: Callable[..., EmbeddingProvider]) -> None:
    provider = make_provider(name, MEMORY_EMBEDDING_DIMENSIONS="64")
    texts = [MANY[start : start + 9] for start in range(0, 180, 9)]
    together = await asyncio.gather(*(provider.embed_documents(some) for some in texts))
    for some, vectors in zip(texts, together, strict=True):
        np.testing.assert_allclose(vectors, await provider.embed_documents(some), atol=1e-6)


async def test_close_can_be_called_unused_and_twice(provider: EmbeddingProvider) -> None:
    await provider.close()
    await provider.close()
