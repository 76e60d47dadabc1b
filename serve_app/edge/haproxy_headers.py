"""Reads the headers that our HAProxy adds to each request: its peer, and the delivery to which the request belongs."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

# `serve_app/haproxy` sets both on every request, over whatever a client sends under these names.
PEER_HEADER = "x-memory-peer"
DELIVERY_HEADER = "x-memory-delivery"


class BehindHAProxy:
    """Makes HAProxy's own peer the client of a request, as if there were no HAProxy, and notes its delivery.

    So whom to believe about addresses further away is judged in one place, for Serve and without it. The scheme is
    put back as well: uvicorn under Serve takes X-Forwarded-Proto from whatever connects from this machine, which is
    HAProxy for all the world, and HAProxy ends no TLS. The delivery is the same for each attempt of one request.
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
