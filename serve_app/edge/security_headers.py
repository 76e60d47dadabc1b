"""What every answer tells a browser to be careful with."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Answers are data: no page that shows one may load or run anything. The documentation's pages bring their own policy.
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
HEADERS_BY_TLS = (*HEADERS, (b"strict-transport-security", b"max-age=31536000"))


class SecurityHeaders:
    """Adds the headers to every answer, errors included; what an answer has set itself stays.

    Strict-Transport-Security goes with requests that came by TLS alone: elsewhere browsers ignore it, and a service
    that is served without TLS is not to claim it.
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
