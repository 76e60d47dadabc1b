"""What only the provider for OpenAI and its like does."""

from collections.abc import Callable

import pytest

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.errors import EmbeddingRejectedError, EmbeddingUnavailableError

from .stand_in import Scripted, StandIn

Make = Callable[..., EmbeddingProvider]
REFUSED_DIMENSIONS = Scripted(400, {"error": {"message": "Model does not support matryoshka representation"}})


async def test_a_request_on_the_wire(make_provider: Make, stand_in: StandIn) -> None:
    stand_in.dimensions = 1536
    await make_provider("openai_compatible", MEMORY_OPENAI_API_KEY="sk-1").embed_documents(["tea"])
    (request,) = stand_in.received
    assert request.path == "/v1/embeddings"
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.body == {"model": "text-embedding-3-small", "input": ["tea"], "encoding_format": "float"}


async def test_dimensions_are_sent_when_they_are_set(make_provider: Make, stand_in: StandIn) -> None:
    await make_provider("openai_compatible", MEMORY_EMBEDDING_DIMENSIONS="64").embed_documents(["tea"])
    assert stand_in.received[0].body["dimensions"] == 64


async def test_a_server_that_refuses_dimensions_is_asked_without_from_then_on(
    make_provider: Make, stand_in: StandIn
) -> None:
    stand_in.script.append(REFUSED_DIMENSIONS)
    stand_in.dimensions = 64
    provider = make_provider("openai_compatible", MEMORY_EMBEDDING_DIMENSIONS="64")
    assert (await provider.embed_documents(["tea"])).shape == (1, 64)
    assert (await provider.embed_documents(["tea"])).shape == (1, 64)
    assert ["dimensions" in request.body for request in stand_in.received] == [True, False, False]


async def test_what_comes_without_dimensions_is_held_against_the_setting(
    make_provider: Make, stand_in: StandIn
) -> None:
    stand_in.script.append(REFUSED_DIMENSIONS)
    stand_in.dimensions = 1024
    provider = make_provider("openai_compatible", MEMORY_EMBEDDING_DIMENSIONS="64")
    with pytest.raises(EmbeddingUnavailableError, match=r"1024 dimensions.*MEMORY_EMBEDDING_DIMENSIONS"):
        await provider.embed_documents(["tea"])


async def test_other_rejections_are_not_sent_again_without_dimensions(make_provider: Make, stand_in: StandIn) -> None:
    stand_in.always = Scripted(400, {"error": {"message": "input is too long"}})
    provider = make_provider("openai_compatible", MEMORY_EMBEDDING_DIMENSIONS="64")
    with pytest.raises(EmbeddingRejectedError, match="input is too long"):
        await provider.embed_documents(["tea"])
    assert len(stand_in.received) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"error": "input is too long", "error_type": "Validation"},
        {"object": "error", "message": "input is too long"},
        {"detail": "input is too long"},
        "input is too long",
    ],
    ids=["TEI", "old vLLM", "FastAPI", "text"],
)
async def test_the_reason_is_found_in_each_servers_shape(make_provider: Make, stand_in: StandIn, body: object) -> None:
    stand_in.always = Scripted(422, body)
    with pytest.raises(EmbeddingRejectedError, match=r"^The embedding server rejects the texts: input is too long$"):
        await make_provider("openai_compatible").embed_documents(["tea"])


async def test_no_key_is_needed(make_provider: Make, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "somebody else's")
    provider = make_provider("openai_compatible", MEMORY_OPENAI_API_KEY="", MEMORY_EMBEDDING_DIMENSIONS="64")
    await provider.embed_documents(["tea"])
    assert stand_in.received[0].headers["authorization"] == "Bearer none"


async def test_long_texts_are_spread_over_requests(make_provider: Make, stand_in: StandIn) -> None:
    provider = make_provider(
        "openai_compatible", MEMORY_EMBEDDING_DIMENSIONS="64", MEMORY_OPENAI_MAX_INPUT_BYTES="120000"
    )
    texts = [letter * 120_000 for letter in "abcde"]
    assert (await provider.embed_documents(texts)).shape == (5, 64)
    assert sorted(len(request.texts) for request in stand_in.received) == [1, 2, 2]
