"""What only Gemini's provider does."""

from collections.abc import Callable
from typing import Any

import pytest

from deployments.embedding.providers.google_gemini import GoogleGeminiProvider
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding.providers.registry import create_provider
from deployments.errors import ConfigurationError, EmbeddingUnavailableError
from deployments.schemas.vectors import EmbeddingSpace

from .conftest import MakeProvider, SettingsFor
from .stand_in import Scripted, StandIn


@pytest.fixture
def provider(stand_in_settings: SettingsFor, closing: MakeProvider) -> EmbeddingProvider:
    """A provider that backs off hardly at all by itself."""
    return closing(
        GoogleGeminiProvider(
            stand_in_settings("google_gemini").gemini,
            EmbeddingSpace("models/gemini-embedding-001", 768),
            timeout_seconds=20.0,
            backoff_seconds=0.01,
        )
    )


async def test_documents_on_the_wire(provider: EmbeddingProvider, stand_in: StandIn) -> None:
    await provider.embed_documents(["tea"])
    (request,) = stand_in.received
    assert request.path.split("?")[0] == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    (each,) = request.body["requests"]
    assert each["model"] == "models/gemini-embedding-001"
    assert each["content"] == {"parts": [{"text": "tea"}]}
    assert each["outputDimensionality"] == 768
    assert each["taskType"] in (2, "RETRIEVAL_DOCUMENT")


async def test_queries_have_their_own_task(provider: EmbeddingProvider, stand_in: StandIn) -> None:
    await provider.embed_queries(["tea"])
    (each,) = stand_in.received[0].body["requests"]
    assert each["taskType"] in (1, "RETRIEVAL_QUERY")


async def test_retry_info_is_honoured(provider: EmbeddingProvider, stand_in: StandIn) -> None:
    stand_in.script.append(Scripted(429, _retry_info("0.6s")))
    await provider.embed_documents(["tea"])
    first, second = stand_in.received
    assert second.at - first.at >= 0.6


async def test_retry_info_beyond_the_budget_is_passed_on(provider: EmbeddingProvider, stand_in: StandIn) -> None:
    stand_in.always = Scripted(429, _retry_info("51s"))
    with pytest.raises(EmbeddingUnavailableError) as raised:
        await provider.embed_documents(["tea"])
    assert raised.value.retry_after == 51.0
    assert len(stand_in.received) == 1


@pytest.mark.parametrize("delay", ["", "soon", "-1s", "infs"])
async def test_a_retry_info_without_sense_is_passed_over(
    provider: EmbeddingProvider, stand_in: StandIn, delay: str
) -> None:
    stand_in.script.append(Scripted(429, _retry_info(delay)))
    await provider.embed_documents(["tea"])
    assert len(stand_in.received) == 2


async def test_an_invalid_key_comes_as_a_400(provider: EmbeddingProvider, stand_in: StandIn) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "d"}
    message = "API key not valid. Please pass a valid API key."
    stand_in.always = Scripted(
        400, {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": [info]}}
    )
    with pytest.raises(EmbeddingUnavailableError, match=r"refuses the key.*MEMORY_GEMINI_API_KEY"):
        await provider.embed_documents(["tea"])
    assert len(stand_in.received) == 1


async def test_a_400_that_is_not_about_the_content_rejects_no_text(
    provider: EmbeddingProvider, stand_in: StandIn
) -> None:
    message = "User location is not supported for the API use."
    stand_in.always = Scripted(400, {"error": {"code": 400, "message": message, "status": "FAILED_PRECONDITION"}})
    with pytest.raises(EmbeddingUnavailableError, match="User location"):
        await provider.embed_documents(["tea"])


async def test_two_providers_keep_their_keys_apart(
    make_provider: Callable[..., EmbeddingProvider], stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "somebody else's")
    first = make_provider("google_gemini", MEMORY_GEMINI_API_KEY="key-one")
    second = make_provider("google_gemini", MEMORY_GEMINI_API_KEY="key-two")
    await first.embed_documents(["tea"])
    await second.embed_documents(["tea"])
    await first.embed_documents(["tea"])
    keys = [request.headers["x-goog-api-key"] for request in stand_in.received]
    assert keys == ["key-one", "key-two", "key-one"]


def test_a_missing_key_is_refused_at_start(settings_for: SettingsFor) -> None:
    with pytest.raises(ConfigurationError, match="MEMORY_GEMINI_API_KEY"):
        create_provider(settings_for("google_gemini"))


def _retry_info(delay: str) -> dict[str, Any]:
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    return {"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": [detail]}}
