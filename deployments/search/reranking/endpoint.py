"""A reranker behind a `/rerank` endpoint: Cohere, Jina, vLLM, TEI and the like."""

from collections.abc import Sequence
from http import HTTPStatus

import httpx
from opentelemetry.propagate import inject
from opentelemetry.trace import StatusCode

from deployments.runtime.retry_after import retry_after_seconds
from deployments.search.reranking.formats import relevances, request_body
from deployments.search.reranking.protocol import RerankError, RerankRejectedError, RerankUnavailableError
from deployments.settings import RerankSettings
from deployments.tracing.spans import ERROR_TYPE, http_request

_CONTENT_STATUSES = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
_KEY_STATUSES = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_REASON_CHARACTERS = 300


class RerankEndpoint:
    """Sends one request for each search, without retries: a search does not wait for a second attempt."""

    def __init__(self, url: str, settings: RerankSettings) -> None:
        """Create the client without opening a connection. `url`: the endpoint's full address, including its path."""
        self._url = url
        self._style = settings.style
        self._model = settings.model
        self._key = settings.api_key.get_secret_value() if settings.api_key else None
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        self._client = httpx.AsyncClient(headers=headers, timeout=settings.timeout_seconds)

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return the relevance of each document to the query, 0 to 1, in the documents' order.

        Raises `RerankError`.
        """
        # `from None`: the library's exceptions carry the request, and with it the key.
        try:
            response = await self._post(request_body(self._style, self._model, query, documents))
        except httpx.TimeoutException:
            raise RerankUnavailableError("The reranker did not answer in time.") from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise RerankUnavailableError("The reranker cannot be reached.") from None
        if not response.is_success:
            raise self._explained(response)
        return relevances(self._style, response.content, len(documents))

    async def close(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def _post(self, body: bytes) -> httpx.Response:
        request = self._client.build_request("POST", self._url, content=body)
        with http_request(request.method, request.url.host, request.url.port) as span:
            if span.is_recording():
                inject(request.headers)
            response = await self._client.send(request)
            span.set_attribute("http.response.status_code", response.status_code)
            if not response.is_success:
                span.set_attribute(ERROR_TYPE, str(response.status_code))
                span.set_status(StatusCode.ERROR)
        return response

    def _explained(self, response: httpx.Response) -> RerankError:
        status = response.status_code
        if status in _KEY_STATUSES:
            return RerankUnavailableError(f"The reranker refuses the key (HTTP {status}): check MEMORY_RERANK_API_KEY.")
        if status == HTTPStatus.NOT_FOUND:
            return RerankUnavailableError(
                "The reranker is not at this address, or lacks the model (HTTP 404): "
                "check MEMORY_RERANK_URL and MEMORY_RERANK_MODEL."
            )
        if status in _CONTENT_STATUSES:
            return RerankRejectedError(
                f"The reranker rejects the request (HTTP {status}).", {"reason": self._reason(response)}
            )
        wait = retry_after_seconds(response.headers)
        return RerankUnavailableError(f"The reranker answers HTTP {status}.", retry_after=wait)

    def _reason(self, response: httpx.Response) -> str:
        text = response.text if self._key is None else response.text.replace(self._key, "***")
        return " ".join(text.split())[:_REASON_CHARACTERS]
