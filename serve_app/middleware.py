"""What happens to every request. Pure ASGI: Starlette's BaseHTTPMiddleware costs a task for each request."""

import re
from time import perf_counter
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.hot_route import HotRoute
from serve_app.http_errors import error_answer, unexpected_error_answer

logger = structlog.get_logger(__name__)

# What a client may choose as its request id: enough for UUIDs and trace ids, nothing that could forge a log line.
# `serve_app/haproxy` drops the others before Serve sees them.
SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/-]{1,128}")
MAX_LENGTH_DIGITS = 18
FIRST_ERROR = 400


class RequestContext:
    """Gives each request an id, has every log line carry it, and logs the request itself.

    Of hot routes it logs errors and slow requests alone: Ray's log monitor carries each line to the driver
    (docs/decisions/0032-request-lines.md). The metrics count every request.
    """

    def __init__(self, app: ASGIApp, *, answers_id: bool, slow_seconds: float) -> None:
        """`answers_id`: put the id into the answer. Not under Serve, which does so itself.

        `slow_seconds`: from which duration on a request is slow; 0 has every request logged.
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
                # Here and not in a handler of the application: Starlette runs that one outside of all middleware.
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


class BodyLimit:
    """Refuses a body that is too large before it is read whole, whatever its Content-Length claims.

    FastAPI's own `max_body_size` answers in a shape of its own where the length is declared.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _declared_length(scope) > self._most:
            await self._refuse(scope, receive, send)
        else:
            await self._count(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        read, started = 0, False

        async def receive_counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise _TooLargeError
            return message

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive_counted, send_noted)
        except _TooLargeError:
            if started:
                raise
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"The body is larger than {self._most} bytes."
        # The connection stays open: uvicorn reads past the rest of the body, and closing on it could cost the answer.
        await error_answer(413, "request_too_large", message, scope.get("request_id"))(scope, receive, send)


class _TooLargeError(BaseException):
    """Passes every handler on its way from the reading of the body to the middleware."""


def request_id_of(scope: Scope) -> str:
    """The client's own request id where it is sane, else a new one."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if SANE_REQUEST_ID.fullmatch(given) else uuid4().hex


def _declared_length(scope: Scope) -> int:
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    # More digits than any body has bytes are not worth the reading (and Python refuses thousands of them).
    return int(value[:MAX_LENGTH_DIGITS]) if value.isdigit() else 0
