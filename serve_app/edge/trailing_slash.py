"""Answers a path with a redundant trailing slash like the path without it: a redirect would name the internal host."""

from starlette.exceptions import HTTPException
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send


def without_slash(router: Router) -> ASGIApp:
    """Return an ASGI app for unmatched paths: it retries without the trailing slash, else answers 404.

    A name at the end of a path keeps its slash, since its route has matched before.
    """

    async def again(scope: Scope, receive: Receive, send: Send) -> None:
        path, raw = scope["path"], scope.get("raw_path") or scope["path"].encode()
        # An encoded slash belongs to a name.
        if scope["type"] != "http" or not raw.endswith(b"/") or path.endswith("//") or path == "/":
            raise HTTPException(404)
        scope["path"], scope["raw_path"] = path[:-1], raw[:-1]
        await router.app(scope, receive, send)

    return again
