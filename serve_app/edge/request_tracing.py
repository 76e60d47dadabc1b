"""A span for every request, in the client's trace if it sends one."""

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.tracing.spans import ERROR_TYPE, root
from serve_app.edge.request_metrics import METHODS, NO_ENDPOINT, endpoint_of

OTHER_METHOD = "_OTHER"
FIRST_SERVER_ERROR = 500


class RequestTracing:
    """Wraps everything that answers, so that the log line of each request carries its trace.

    The span has the route's template instead of the path, which may contain a tenant, and omits the query, which
    contains the search text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
        attributes = {
            "http.request.method": method,
            "url.scheme": scope["scheme"],
            "network.protocol.version": scope["http_version"],
        }
        name = "HTTP" if method == OTHER_METHOD else method
        # Use a new context: the next request of a connection is not part of the last one's trace.
        context = propagate.extract(scope["headers"], Context(), _HEADERS)
        with root(name, context, SpanKind.SERVER, attributes) as span:

            async def send_noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _note_status(span, message["status"])
                await send(message)

            try:
                await self._app(scope, receive, send_noted)
            finally:
                _note_request(span, name, scope)


def _note_status(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= FIRST_SERVER_ERROR:
        span.set_attribute(ERROR_TYPE, str(status))
        span.set_status(StatusCode.ERROR)


def _note_request(span: Span, name: str, scope: Scope) -> None:
    if not span.is_recording():
        return
    endpoint = endpoint_of(scope)
    if endpoint != NO_ENDPOINT:
        span.update_name(f"{name} {endpoint}")
        span.set_attribute("http.route", endpoint)
    if "request_id" in scope:
        span.set_attribute("memory_layer.request_id", scope["request_id"])


class _Headers(Getter[list[tuple[bytes, bytes]]]):
    """Reads ASGI headers: lower-case names, as bytes."""

    def get(self, carrier: list[tuple[bytes, bytes]], key: str) -> list[str] | None:
        wanted = key.lower().encode()
        return [value.decode("latin-1") for name, value in carrier if name == wanted] or None

    def keys(self, carrier: list[tuple[bytes, bytes]]) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


_HEADERS = _Headers()
