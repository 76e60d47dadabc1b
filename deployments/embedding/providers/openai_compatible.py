"""Provider for any server with OpenAI's embeddings API: OpenAI itself, vLLM, TEI, Ollama and others."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    OpenAIError,
    omit,
)

from deployments.embedding.providers.batches import BatchLimits, BoundedSender
from deployments.embedding.providers.deadline import ATTEMPTS, OnRetry, budget_seconds, unheard
from deployments.embedding.providers.traced_http import TracedHttpClient
from deployments.embedding.providers.unit_vectors import answered_vectors
from deployments.errors import EmbeddingError, EmbeddingRejectedError, EmbeddingUnavailableError
from deployments.runtime.retry_after import retry_after_seconds
from deployments.schemas.vectors import EmbeddingSpace, Vectors
from deployments.settings import OpenAISettings

_NAME = "The embedding server"
# OpenAI's limits are 2,048 texts and 300,000 tokens in all. In most texts a character is at most one token.
_TEXTS, _CHARACTERS = 100, 250_000
# The client library requires a key; most local servers need none.
_NO_KEY = "none"
# The client library states in each request how often it was sent before.
_RETRY_HEADER = "x-stainless-retry-count"
_KEY_STATUSES = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_CONTENT_STATUSES = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}


class OpenAICompatibleProvider:
    """Embeds with `/embeddings`, 100 texts per request. Texts of more than `max_input_bytes` are sent in windows.

    Documents and queries are sent alike.

    The client library retries: a request is sent at most 4 times within one and a half times `timeout_seconds`. It is
    retried after 408, 409, 429, 5xx, timeouts and broken connections, no sooner than Retry-After allows.

    The parameter `dimensions` is sent if the settings name a number. Many servers refuse it, since their models have
    only one size: after such a refusal it is omitted, and the size of the answered vectors is checked instead.
    """

    def __init__(
        self,
        settings: OpenAISettings,
        space: EmbeddingSpace,
        *,
        timeout_seconds: float,
        send_dimensions: bool,
        requests_in_flight: int = 4,
        attempts: int = ATTEMPTS,
        on_retry: OnRetry = unheard,
    ) -> None:
        """Create the client without connecting."""
        self._space = space
        self._send_dimensions = send_dimensions
        self._budget = budget_seconds(timeout_seconds)
        self._key = settings.api_key.get_secret_value() if settings.api_key else _NO_KEY
        self._client = AsyncOpenAI(
            api_key=self._key,
            base_url=settings.base_url,
            timeout=timeout_seconds,
            max_retries=attempts - 1,
            http_client=TracedHttpClient(
                event_hooks={"request": [self._note_retry], "response": [self._refuse_long_waits]}
            ),
        )
        self._on_retry = on_retry
        limits = BatchLimits(_TEXTS, _CHARACTERS, settings.max_input_bytes)
        self._sender = BoundedSender(limits, space.dimensions, requests_in_flight)

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed texts to be stored: shape (len(texts), dimensions), float32, rows of length 1."""
        return await self._sender.embed(texts, self._send)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed search queries: shape (len(texts), dimensions), float32, rows of length 1."""
        return await self._sender.embed(texts, self._send)

    async def close(self) -> None:
        """Release connections."""
        await self._client.close()

    async def _note_retry(self, request: Any) -> None:
        if request.headers.get(_RETRY_HEADER, "0") != "0":
            self._on_retry()

    async def _refuse_long_waits(self, response: Any) -> None:
        """Make the library stop retrying if the server asks for a longer wait than the budget."""
        asked = retry_after_seconds(response.headers)
        if asked is not None and asked >= self._budget:
            response.headers["x-should-retry"] = "false"

    async def _send(self, texts: list[str]) -> Vectors:
        with_dimensions = self._send_dimensions
        try:
            return await self._request(texts, with_dimensions=with_dimensions)
        except EmbeddingRejectedError as error:
            if not with_dimensions or not _is_about_dimensions(error):
                raise
        vectors = await self._request(texts, with_dimensions=False)
        self._send_dimensions = False
        return vectors

    async def _request(self, texts: list[str], *, with_dimensions: bool) -> Vectors:
        # Always `from None`: the library's exceptions contain the request, and with it the key.
        try:
            async with asyncio.timeout(self._budget):
                answer = await self._client.embeddings.with_raw_response.create(
                    input=texts,
                    model=self._space.model,
                    dimensions=self._space.dimensions if with_dimensions else omit,
                    encoding_format="float",
                )
        except APIStatusError as error:
            raise self._explained(error) from None
        except (TimeoutError, APITimeoutError):
            raise EmbeddingUnavailableError(f"{_NAME} did not answer in time.") from None
        except APIConnectionError:
            raise EmbeddingUnavailableError(f"{_NAME} cannot be reached.") from None
        except OpenAIError:
            raise EmbeddingUnavailableError(f"{_NAME} could not be asked.") from None
        return answered_vectors(_rows(answer.content), count=len(texts), space=self._space, provider=_NAME)

    def _explained(self, error: APIStatusError) -> EmbeddingError:
        status, details = error.status_code, {"status": error.status_code}
        if status in _KEY_STATUSES:
            return EmbeddingUnavailableError(
                f"{_NAME} refuses the key (HTTP {status}): check MEMORY_OPENAI_API_KEY.", details
            )
        if status == HTTPStatus.NOT_FOUND:
            return EmbeddingUnavailableError(
                f"{_NAME} has no model {self._space.model} at this address: "
                "check MEMORY_OPENAI_MODEL and MEMORY_OPENAI_BASE_URL.",
                details,
            )
        if status in _CONTENT_STATUSES:
            server_message = _server_message(error).replace(self._key, "***")[:300]
            return EmbeddingRejectedError(f"{_NAME} rejects the texts: {server_message}", details)
        wait = retry_after_seconds(error.response.headers)
        return EmbeddingUnavailableError(f"{_NAME} answers HTTP {status}.", details, wait)


def _is_about_dimensions(error: EmbeddingRejectedError) -> bool:
    text = error.message.lower()
    return "dimension" in text or "matryoshka" in text


def _server_message(error: APIStatusError) -> str:
    """Return the server's message, without the text that the library puts around it."""
    body = error.body
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body.get("error") or "no reason given"
    return str(body or "no reason given")


def _rows(body: bytes) -> list[list[float]]:
    """Return the vectors of an answer, in the order of the texts.

    Parsed here and not by the library: its models do not validate, and cost more.
    """
    try:
        items = orjson.loads(body)["data"]
        order = sorted(range(len(items)), key=lambda position: items[position].get("index", position))
        return [items[position]["embedding"] for position in order]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EmbeddingUnavailableError(f"{_NAME}'s answer cannot be read.") from None
