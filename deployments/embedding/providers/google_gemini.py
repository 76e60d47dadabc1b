"""Google Gemini by the package google-generativeai. No other file imports that package.

The package is no longer supported, so little of it is used: its messages, its REST client and the errors of that
client. Its retries are off, and `genai.configure`, which is global, is not called.
"""

import asyncio
import math
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from deployments.embedding.providers.batches import BatchLimits, BoundedSender
from deployments.embedding.providers.deadline import ATTEMPTS, OnRetry, budget_seconds, unheard
from deployments.embedding.providers.unit_vectors import answered_vectors
from deployments.errors import ConfigurationError, EmbeddingError, EmbeddingRejectedError, EmbeddingUnavailableError
from deployments.runtime.retry_after import retry_after_seconds
from deployments.schemas.vectors import EmbeddingSpace, Vectors
from deployments.settings import GeminiSettings
from deployments.tracing.spans import http_request

with warnings.catch_warnings():
    # Both are known: the package is no longer supported, and its base will drop this Python version.
    warnings.filterwarnings("ignore", r"\s*All support for the `google.generativeai`", FutureWarning)
    warnings.filterwarnings("ignore", "You are using a Python version", FutureWarning)
    from google.ai.generativelanguage import GenerativeServiceClient
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth import api_key
    from google.auth.exceptions import GoogleAuthError, RefreshError
    from google.generativeai import protos
    from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]

_NAME = "Gemini"
# The API limits the number of texts, but not of characters: our limit keeps a request's body within a few MB.
# gemini-embedding-001 silently cuts a text after 2,048 tokens. A token is at least one byte.
_LIMITS = BatchLimits(texts=100, characters=1_000_000, text_bytes=2_000)
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_KEY_REASON = "API_KEY_INVALID"
_REFUSED_KEY = "Gemini refuses the key (HTTP {status}): check MEMORY_GEMINI_API_KEY."
_KEY_STATUSES = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_CONTENT_STATUSES = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
_PASSING_STATUSES = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class _RetryableError(Exception):
    """A failure that may be retried. `error` is raised after the last attempt."""

    def __init__(self, error: EmbeddingUnavailableError) -> None:
        super().__init__(error)
        self.error = error


class _FixedKey(api_key.Credentials):
    """An API key without refresh: by default google-auth sends a request twice more after a 401."""

    def refresh(self, request: object) -> None:  # noqa: ARG002 - the base class names it
        raise RefreshError


class GoogleGeminiProvider:
    """Embeds with `:batchEmbedContents`, 100 texts per request. Texts of more than 2,000 bytes are sent in windows.

    The REST client is synchronous, so each request runs in a thread of this provider's executor. A request is sent at
    most 4 times within one and a half times `timeout_seconds`. It is retried after 408, 429, 5xx, timeouts and broken
    connections, no sooner than Retry-After or RetryInfo allow.
    """

    def __init__(
        self,
        settings: GeminiSettings,
        space: EmbeddingSpace,
        *,
        timeout_seconds: float,
        requests_in_flight: int = 4,
        backoff_seconds: float = 0.5,
        on_retry: OnRetry = unheard,
    ) -> None:
        """Create the client without connecting. Raises `ConfigurationError` if there is no key.

        `backoff_seconds`: the longest wait before the second attempt, if the server does not name one.
        """
        if settings.api_key is None:
            raise ConfigurationError("MEMORY_GEMINI_API_KEY must be set for the google_gemini provider.")
        self._space = space
        self._key = settings.api_key.get_secret_value()
        self._timeout = timeout_seconds
        self._on_retry = on_retry
        self._backoff = wait_random_exponential(multiplier=backoff_seconds, max=8)
        self._client = GenerativeServiceClient(
            credentials=_FixedKey(self._key),  # type: ignore[no-untyped-call]
            transport="rest",
            client_options={"api_endpoint": settings.api_endpoint} if settings.api_endpoint else None,
        )
        endpoint = str(self._client.api_endpoint)
        self._host = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname or endpoint
        self._sender = BoundedSender(_LIMITS, space.dimensions, requests_in_flight)
        self._executor = ThreadPoolExecutor(requests_in_flight, thread_name_prefix="gemini")

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed texts to be stored: shape (len(texts), dimensions), float32, rows of length 1."""
        return await self._sender.embed(texts, partial(self._send, protos.TaskType.RETRIEVAL_DOCUMENT))

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed search queries: shape (len(texts), dimensions), float32, rows of length 1."""
        return await self._sender.embed(texts, partial(self._send, protos.TaskType.RETRIEVAL_QUERY))

    async def close(self) -> None:
        """Release connections and threads. A request in flight ends at its timeout."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._client.transport.close()  # type: ignore[no-untyped-call]

    async def _send(self, task: int, texts: list[str]) -> Vectors:
        loop = asyncio.get_running_loop()
        request = _batch_request(self._space, task, texts)
        deadline = loop.time() + budget_seconds(self._timeout)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_RetryableError),
            stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(budget_seconds(self._timeout)),
            wait=self._wait,
            before_sleep=lambda _state: self._on_retry(),
            reraise=True,
        )

        async def attempt() -> Vectors:
            time_limit = max(0.001, min(self._timeout, deadline - loop.time()))
            with http_request("POST", self._host):
                return await loop.run_in_executor(self._executor, self._request_once, request, time_limit)

        try:
            return await retrying(attempt)
        except _RetryableError as passing:
            raise passing.error from None

    def _wait(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.error.retry_after if isinstance(failure, _RetryableError) else None
        return self._backoff(state) if asked is None else asked

    def _request_once(self, request: protos.BatchEmbedContentsRequest, timeout: float) -> Vectors:
        # Always `from None`: the package's exceptions contain the request, and with it the key.
        try:
            answer = self._client.batch_embed_contents(request, retry=None, timeout=timeout)
        except GoogleAPICallError as error:
            raise self._explained(error) from None
        except GoogleAuthError:
            raise EmbeddingUnavailableError(_REFUSED_KEY.format(status=401)) from None
        except requests.Timeout:
            raise _retryable(f"Gemini did not answer within {timeout:.1f} s.") from None
        except requests.RequestException:
            raise _retryable("Gemini cannot be reached.") from None
        except (ParseError, AttributeError, TypeError):
            # The package does not check that an error's body is a JSON object of the known shape.
            raise _retryable("Gemini's answer cannot be read.") from None
        rows = [embedding.values for embedding in protos.BatchEmbedContentsResponse.pb(answer).embeddings]
        return answered_vectors(rows, count=len(request.requests), space=self._space, provider=_NAME)

    def _explained(self, error: GoogleAPICallError) -> EmbeddingError | _RetryableError:
        status = int(error.code or 0)
        if status in _PASSING_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return _retryable(f"Gemini answers HTTP {status}.", status, _retry_after(error))
        if status in _KEY_STATUSES or _detail(error, _ERROR_INFO).get("reason") == _KEY_REASON:
            return EmbeddingUnavailableError(_REFUSED_KEY.format(status=status), {"status": status})
        if status == HTTPStatus.NOT_FOUND:
            return EmbeddingUnavailableError(
                f"Gemini has no model {self._space.model}: check MEMORY_GEMINI_MODEL.", {"status": status}
            )
        server_message = _server_message(error).replace(self._key, "***")[:300]
        # A country without the service, or billing that is off, gives a 400 too.
        if status in _CONTENT_STATUSES and _canonical_status(error) != "FAILED_PRECONDITION":
            return EmbeddingRejectedError(f"Gemini rejects the texts: {server_message}", {"status": status})
        return EmbeddingUnavailableError(f"Gemini answers HTTP {status}: {server_message}", {"status": status})


def _batch_request(space: EmbeddingSpace, task: int, texts: list[str]) -> protos.BatchEmbedContentsRequest:
    each = [
        protos.EmbedContentRequest(
            model=space.model,
            content=protos.Content(parts=[protos.Part(text=text)]),
            task_type=task,
            output_dimensionality=space.dimensions,
        )
        for text in texts
    ]
    return protos.BatchEmbedContentsRequest(model=space.model, requests=each)


def _retryable(message: str, status: int | None = None, retry_after: float | None = None) -> _RetryableError:
    details = None if status is None else {"status": status}
    return _RetryableError(EmbeddingUnavailableError(message, details, retry_after))


def _retry_after(error: GoogleAPICallError) -> float | None:
    """Return the seconds to wait, from the header Retry-After or else from google.rpc.RetryInfo."""
    asked = retry_after_seconds(error.response.headers)
    if asked is not None:
        return asked
    try:
        seconds = float(str(_detail(error, _RETRY_INFO).get("retryDelay", "")).removesuffix("s"))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _detail(error: GoogleAPICallError, kind: str) -> Mapping[str, Any]:
    """Return one of the error's details by its type. The package's own `reason` fails over REST."""
    return next((each for each in error.details if each.get("@type") == kind), {})


def _error_body(error: GoogleAPICallError) -> Mapping[str, Any]:
    try:
        body = error.response.json()
    except ValueError:
        return {}
    return body["error"] if isinstance(body, dict) and isinstance(body.get("error"), dict) else {}


def _canonical_status(error: GoogleAPICallError) -> str:
    return str(_error_body(error).get("status", ""))


def _server_message(error: GoogleAPICallError) -> str:
    """Return the server's message, without the URL that the package puts in front of it."""
    return str(_error_body(error).get("message", "no reason given"))
