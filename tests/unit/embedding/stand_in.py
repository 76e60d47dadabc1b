"""A stand-in for the embedding services: a real HTTP server on loopback that speaks both of their calls.

It answers with vectors that depend on nothing but the text and are not of length 1, unless a test has
scripted other answers. It knows no key, no limit and no task: what it was sent is there to be looked at.
"""

import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DEFAULT_DIMENSIONS = 96


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    at: float = field(default_factory=time.monotonic)

    @property
    def texts(self) -> list[str]:
        """The texts to be embedded, in either call."""
        if "requests" in self.body:
            return [each["content"]["parts"][0]["text"] for each in self.body["requests"]]
        return list(self.body["input"])


@dataclass(frozen=True)
class Scripted:
    """An answer that a test has laid down. Without a body, a 200 has the vectors asked for.

    `silent` answers only when the stand-in closes; `dropped` closes the connection without an answer.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False
    dropped: bool = False


class StandIn:
    """The server and what a test sees of it."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.script: deque[Scripted] = deque()
        self.always: Scripted | None = None
        self.dimensions: int | None = None
        self.most_in_flight = 0
        self.in_flight = 0
        self._released = threading.Event()
        self._released.set()
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The server's base URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def hold(self) -> None:
        """Let all requests wait from now on, until `release`."""
        self._released.clear()

    def release(self) -> None:
        """Answer what waits."""
        self._released.set()

    def wait_for_in_flight(self, count: int, seconds: float = 10.0) -> None:
        """Return as soon as `count` requests are under way. For a test's thread, not its loop."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.in_flight >= count, seconds), self.in_flight

    def close(self) -> None:
        """Stop, and let go of whatever still waits."""
        self.release()
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: Received) -> Scripted:
        """Take a request, wait while requests are held, and say what to answer."""
        with self._changed:
            self.received.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            scripted = self.script.popleft() if self.script else self.always
            self._changed.notify_all()
        silent = scripted is not None and scripted.silent
        (self._closing if silent else self._released).wait(30)
        with self._changed:
            self.in_flight -= 1
        if scripted is None:
            return Scripted(body=self.default_body(request))
        if scripted.body is None and scripted.status == HTTPStatus.OK:
            return replace(scripted, body=self.default_body(request))
        return scripted

    def default_body(self, request: Received) -> Any:
        """What is answered with 200 where nothing else is scripted."""
        vectors = [self._vector(text, request.body) for text in request.texts]
        if "requests" in request.body:
            return {"embeddings": [{"values": vector} for vector in vectors]}
        items = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        # The order is the index's, not the list's.
        return {"object": "list", "model": request.body["model"], "data": items[::-1], "usage": {}}

    def _vector(self, text: str, body: Mapping[str, Any]) -> list[float]:
        first = body["requests"][0] if "requests" in body else body
        asked = first.get("outputDimensionality") or first.get("dimensions")
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        size = self.dimensions or asked or DEFAULT_DIMENSIONS
        vector: list[float] = np.random.default_rng(seed).normal(0.1, 1.0, size).tolist()
        return vector


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], stand_in: StandIn) -> None:
        super().__init__(address, _Handler)
        self.stand_in = stand_in

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that gave up are what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise a second packet waits 40 ms for the first to be acknowledged.
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        scripted = self.server.stand_in.answer(Received(self.path, headers, body))
        if scripted.dropped:
            self.close_connection = True
            return
        text = scripted.body if isinstance(scripted.body, str) else json.dumps(scripted.body)
        self.send_response(scripted.status)
        for name, value in {"Content-Type": "application/json", **scripted.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""
