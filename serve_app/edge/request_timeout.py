"""A deadline for each request."""

import asyncio

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.edge.http_errors import error_answer

# The idempotent methods of HTTP among those that this service answers.
REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})

logger = structlog.get_logger(__name__)


class RequestTimeout:
    """Answers 504 if a request, including its body, takes longer than `seconds`.

    The handler is cancelled, and Postgres too: asyncpg cancels the running statement. An answer that has begun may
    finish. Only idempotent requests get Retry-After: a store that was committed just before the timeout and has no
    Idempotency-Key would be stored twice.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_unlimited(message: Message) -> None:
            if message["type"] == "http.response.start":
                limit.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, receive, send_unlimited)
        except TimeoutError:
            if not limit.expired():
                raise
            logger.warning("request_timeout", method=scope["method"], path=scope["path"], seconds=self._seconds)
            message = f"The request took longer than {self._seconds:g} seconds."
            answer = error_answer(504, "timeout", message, scope.get("request_id"))
            if _is_repeatable(scope):
                answer.headers["Retry-After"] = "1"
            await answer(scope, receive, send)


def _is_repeatable(scope: Scope) -> bool:
    return scope["method"] in REPEATABLE or any(name == b"idempotency-key" for name, _ in scope["headers"])
