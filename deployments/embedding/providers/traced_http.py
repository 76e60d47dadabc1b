"""HTTP client for OpenAI's library that opens a span for each request, and sends its context to the server."""

from http import HTTPStatus
from typing import Any

from openai import DefaultAsyncHttpxClient
from opentelemetry.propagate import inject
from opentelemetry.trace import StatusCode

from deployments.tracing.spans import ERROR_TYPE, http_request


class TracedHttpClient(DefaultAsyncHttpxClient):
    """Sends each attempt of a request with its own `traceparent`, where tracing is on."""

    async def send(self, request: Any, **options: Any) -> Any:
        """Send a request within a span."""
        with http_request(request.method, request.url.host, request.url.port) as span:
            if span.is_recording():
                inject(request.headers)
            response = await super().send(request, **options)
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= HTTPStatus.BAD_REQUEST:
                span.set_attribute(ERROR_TYPE, str(response.status_code))
                span.set_status(StatusCode.ERROR)
        return response
