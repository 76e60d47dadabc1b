"""Request ids, log lines and unexpected errors. Pure ASGI: Starlette's BaseHTTPMiddleware costs a task per request."""

import re
from time import perf_counter
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.edge.hot_route import HotRoute
from serve_app.edge.http_errors import unexpected_error_answer

logger = structlog.get_logger(__name__)

# What a client may send as its request id: enough for UUIDs and trace ids, nothing that could forge a log line.
# `serve_app/haproxy` drops all others before they reach Serve.
SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/-]{1,128}")
FIRST_ERROR = 400


class RequestContext:
    """Gives each request an id, adds it to every log line, and logs the request itself.

    On hot routes it logs only errors and slow requests: Ray's log monitor forwards each line to the driver
    (docs/decisions/0032-request-lines.md). The metrics count every request.
    """

    def __init__(self, app: ASGIApp, *, answers_id: bool, slow_seconds: float) -> None:
        """`answers_id`: whether to return the id in a header. False under Serve, which does so itself.

        `slow_seconds`: a request that takes at least this long is slow; 0 logs every request.
        """
        self._app = app
        self._answers_id = answers_id
        self._slow_seconds = slow_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        scope["request_id"] = request_id
        started, status = perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                if self._answers_id:
                    message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:
                # Not in a handler of the application: Starlette runs that one outside of all middleware.
                logger.exception("unexpected_error")
                if status:
                    raise
                await unexpected_error_answer(request_id)(scope, receive, send_with_id)
            self._log(scope, status, perf_counter() - started)

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        succeeded = 0 < status < FIRST_ERROR
        if succeeded and seconds < self._slow_seconds and isinstance(scope.get("route"), HotRoute):
            return
        logger.info(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            code=scope.get("error_code"),
            duration_ms=round(seconds * 1e3, 2),
            caller=getattr(scope.get("caller"), "name", None),
            client=scope["client"][0] if scope.get("client") else None,
        )


def request_id_of(scope: Scope) -> str:
    """Return the client's request id if it is valid, else a new one."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if SANE_REQUEST_ID.fullmatch(given) else uuid4().hex
