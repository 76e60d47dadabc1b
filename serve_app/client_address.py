"""Who is at the other end of a connection that HAProxy passes on."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

# `serve_app/haproxy` sets it on every request, over whatever a client sends under this name.
PEER_HEADER = "x-memory-peer"


class PeerOfHAProxy:
    """Makes HAProxy's own peer the client of a request, as if there were no HAProxy.

    So whom to believe about addresses further away is judged in one place, for Serve and without it. The scheme is
    put back as well: uvicorn under Serve takes X-Forwarded-Proto from whatever connects from this machine, which is
    HAProxy for all the world, and HAProxy ends no TLS.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["scheme"] = "http"
            peer = Headers(scope=scope).get(PEER_HEADER)
            if peer is not None:
                scope["client"] = (peer, 0)
        await self._app(scope, receive, send)
