"""Request bodies: size limit, decompression and content type."""

import zlib
from collections.abc import Callable
from typing import TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.edge.head_requests import head_as_get
from serve_app.edge.http_errors import JSON_ONLY, error_answer

MAX_LENGTH_DIGITS = 18
# Window bits for zlib. HTTP's deflate is the zlib format (RFC 9110, section 8.4.1.2).
WINDOW_BITS = {b"gzip": 16 + zlib.MAX_WBITS, b"x-gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
ACCEPTED_ENCODINGS = {"Accept-Encoding": "gzip, deflate"}

Inflate: TypeAlias = Callable[[Message], Message]


class RequestBody:
    """Refuses a body that is too large before it is read completely, whatever its length header or encoding claims.

    FastAPI's own `max_body_size` answers in another shape if the length is declared, and decompresses nothing.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        """`most`: limit in bytes, of the body as sent and of the decompressed body."""
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            async with head_as_get(scope, send) as send_head:
                await self._app(scope, receive, send_head)
            return
        headers = dict(scope["headers"])
        try:
            receive = self._receiving(scope, headers, receive)
        except _RefusedBodyError as error:
            await error.answer(scope, receive, send)
            return
        await self._read(scope, receive, send)

    def _receiving(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        """Return a `receive` that yields the decoded body. Raises `_RefusedBodyError` if the headers suffice."""
        if _declared_length(headers) > self._most:
            raise self._too_large()
        if b"origin" in headers and b"content-type" not in headers and _announces_body(headers):
            # A page of any origin may send a body without a content type, and browsers send no preflight before it.
            raise _RefusedBodyError(415, "unsupported_media_type", JSON_ONLY)
        encoding = headers.get(b"content-encoding")
        if encoding is None:
            return self._counted(receive, _unchanged)
        inflate = self._decoder_for(encoding.strip().lower())
        scope["headers"] = [
            each for each in scope["headers"] if each[0] not in {b"content-encoding", b"content-length"}
        ]
        return self._counted(receive, inflate)

    def _counted(self, receive: Receive, inflate: Inflate) -> Receive:
        read = 0

        async def receive_counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise self._too_large()
            return inflate(message)

        return receive_counted

    def _decoder_for(self, encoding: bytes) -> Inflate:
        if encoding in {b"", b"identity"}:
            return _unchanged
        if encoding not in WINDOW_BITS:
            message = "Send the body as it is, or with Content-Encoding: gzip or deflate."
            raise _RefusedBodyError(415, "unsupported_content_encoding", message, ACCEPTED_ENCODINGS)
        inflater = _Inflater(WINDOW_BITS[encoding], self._most)

        def inflate(message: Message) -> Message:
            if message["type"] != "http.request":
                return message
            try:
                body = inflater.inflate(message.get("body", b""), last=not message.get("more_body", False))
            except zlib.error:
                named = encoding.decode()
                raise _RefusedBodyError(400, "invalid_encoding", f"The body is not valid {named}.") from None
            if inflater.inflated > self._most:
                raise self._too_large()
            return {**message, "body": body}

        return inflate

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except _RefusedBodyError as error:
            if started:
                raise
            await error.answer(scope, receive, send)

    def _too_large(self) -> "_RefusedBodyError":
        return _RefusedBodyError(413, "request_too_large", f"The body is larger than {self._most} bytes.")


class _Inflater:
    """Decompresses a body in chunks, and stops at the first byte beyond the limit."""

    def __init__(self, window_bits: int, most: int) -> None:
        self._window_bits = window_bits
        self._most = most
        self._stream = zlib.decompressobj(window_bits)
        self._empty = True
        self.inflated = 0

    def inflate(self, piece: bytes, *, last: bool) -> bytes:
        """Return the decompressed chunk. Raises `zlib.error` for corrupt or truncated data."""
        parts = []
        self._empty = self._empty and not piece
        while piece and self.inflated <= self._most:
            if self._stream.eof:  # gzip may have several members, one after the other
                self._stream = zlib.decompressobj(self._window_bits)
            parts.append(self._stream.decompress(piece, self._most - self.inflated + 1))
            self.inflated += len(parts[-1])
            piece = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
        if last and not self._empty and not self._stream.eof and self.inflated <= self._most:
            raise zlib.error("the body ends too early")
        return b"".join(parts)


class _RefusedBodyError(BaseException):
    """Passes through every handler from the reading of the body up to the middleware."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, code, message, headers)
        self._error = (status, code, message)
        self._headers = headers or {}

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Keep the connection open: uvicorn reads past the rest of the body, and closing could lose the answer.
        answer = error_answer(*self._error, scope.get("request_id"))
        answer.headers.update(self._headers)
        await answer(scope, receive, send)


def _unchanged(message: Message) -> Message:
    return message


def _announces_body(headers: dict[bytes, bytes]) -> bool:
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def _declared_length(headers: dict[bytes, bytes]) -> int:
    value = headers.get(b"content-length", b"0")
    # A length with more digits than any body needs is not parsed (and Python refuses thousands of digits).
    return int(value[:MAX_LENGTH_DIGITS]) if value.isdigit() else 0
