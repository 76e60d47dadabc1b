"""HEAD requests, answered like GET without the body."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Message, Scope, Send


@asynccontextmanager
async def head_as_get(scope: Scope, send: Send) -> AsyncIterator[Send]:
    """Make the routes inside the block treat a request as GET. Yield a `send` that drops the body.

    Servers and logs read the scope too, so it says HEAD again before anything is sent.
    """
    scope["method"] = "GET"

    async def send_head(message: Message) -> None:
        scope["method"] = "HEAD"
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    try:
        yield send_head
    finally:
        scope["method"] = "HEAD"
