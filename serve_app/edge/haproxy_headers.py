"""Reads the headers that our HAProxy adds to each request: its peer, and an id shared by all attempts of a request."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

# `serve_app/haproxy` sets both on every request and overwrites what a client sends under these names.
PEER_HEADER = "x-memory-peer"
DELIVERY_HEADER = "x-memory-delivery"


class BehindHAProxy:
    """Makes HAProxy's peer the client of a request, as if there were no HAProxy, and stores its delivery id.

    So one place decides which forwarded addresses to trust, with and without Serve. The scheme is reset too: uvicorn
    under Serve trusts X-Forwarded-Proto from any local peer, which is HAProxy for every client, and HAProxy does not
    terminate TLS. All attempts of one request have the same delivery id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["scheme"] = "http"
            headers = Headers(scope=scope)
            peer = headers.get(PEER_HEADER)
            if peer is not None:
                scope["client"] = (peer, 0)
            scope["delivery"] = headers.get(DELIVERY_HEADER)
        await self._app(scope, receive, send)
