"""Security headers for browsers, on every answer."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Answers are data: a page that shows one may load or run nothing. The documentation pages set their own policy.
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
HEADERS_BY_TLS = (*HEADERS, (b"strict-transport-security", b"max-age=31536000"))


class SecurityHeaders:
    """Adds the headers to every answer, errors included; headers that the answer has already set stay.

    Strict-Transport-Security is sent only over TLS: browsers ignore it elsewhere, and a service without TLS must not
    claim it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = HEADERS_BY_TLS if scope.get("scheme") == "https" else HEADERS
                own = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in added if each[0] not in own)]
            await send(message)

        await self._app(scope, receive, send_with_headers)
