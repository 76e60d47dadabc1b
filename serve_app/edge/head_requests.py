"""HEAD, answered as GET is, without the body."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Message, Scope, Send


@asynccontextmanager
async def head_as_get(scope: Scope, send: Send) -> AsyncIterator[Send]:
    """Have the routes of the block take a request for a GET. Yields what sends the answer's head alone.

    Servers and logs look at the scope as well, so that it says HEAD again before anything is sent.
    """
    scope["method"] = "GET"

    async def send_head(message: Message) -> None:
        scope["method"] = "HEAD"
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    try:
        yield send_head
    finally:
        scope["method"] = "HEAD"
