"""`make serve` as a user meets it: start, stop, hard kills, and what it says when it cannot start."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployments.storage import embedded
from serve_app.cluster_environment import make_run_directory, run_directory
from serve_app.run_processes import marked_processes, only_launcher, stop_marked_processes

_START_SECONDS = 120
_STOP_SECONDS = 30
_ROOT = Path(__file__).resolve().parents[2]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """One launcher with its data directory, on ports of its own."""

    def __init__(self, home: Path) -> None:
        self.data_dir = home / "data"
        self.run_directory = run_directory(self.data_dir)
        self.port = _free_port()
        self._log = home / "console.log"
        first = random.randrange(20000, 31000, 100)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MEMORY_"))},
            # Ray keeps its token there.
            "HOME": str(home),
            "MEMORY_DATA_DIR": str(self.data_dir),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(_free_port()),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(_free_port()),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(_free_port()),
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + 99),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *options: str) -> list[str]:
        ports = ["--port", str(self.port), "--dashboard-port", str(_free_port())]
        return [sys.executable, "-m", "serve_app.launch", *ports, *options]

    def console(self) -> str:
        return self._log.read_text()

    def start(self) -> None:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=_ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while "Ctrl-C stops all of it" not in self.console():
            assert self.process.poll() is None, self.console()
            assert time.monotonic() < deadline, self.console()
            time.sleep(0.2)

    def fails_to_start(self) -> tuple[int, str]:
        result = subprocess.run(
            self.command(), cwd=_ROOT, env=self.environment, capture_output=True, timeout=60, check=False
        )
        return result.returncode, result.stderr.decode()

    def interrupt(self) -> int:
        """Press Ctrl-C: the terminal sends the signal to the whole group."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=_STOP_SECONDS)

    def processes(self) -> list[psutil.Process]:
        return marked_processes(self.run_directory) + self._postgres()

    def kill_hard(self) -> None:
        """Kill everything at once, the launcher first, so that nothing is stopped in order."""
        assert self.process is not None
        self.process.kill()
        while found := self.processes():
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(found, timeout=5)
        self.process.wait()

    def request(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://localhost:{self.port}{path}", data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own http address
            return json.load(response)

    def _postgres(self) -> list[psutil.Process]:
        directory = str(self.data_dir / "postgres")
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.name() == "postgres" and directory in process.cmdline():
                    found.append(process)
        return found


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    if service.process is not None and service.process.poll() is None:
        service.process.kill()
        service.process.wait()
    stop_marked_processes(service.run_directory)
    embedded.stop(service.data_dir)


def test_data_outlives_an_orderly_stop_and_a_hard_kill_of_everything(service: Service) -> None:
    service.start()
    service.request("/v1/admin/liveness")
    message = {"tenant_id": "t", "conversation_id": "c", "role": "user", "content": "It rained in Lisbon."}
    stored = service.request("/v1/messages", message)["id"]

    assert service.interrupt() == 0, service.console()
    assert service.processes() == []

    service.start()
    assert service.request(f"/v1/messages/{stored}?tenant_id=t")["content"] == message["content"]
    second = service.request("/v1/messages", message)["id"]
    service.kill_hard()

    service.start()
    for found in (stored, second):
        assert service.request(f"/v1/messages/{found}?tenant_id=t")["content"] == message["content"]
    assert service.interrupt() == 0, service.console()
    assert service.processes() == []


def test_an_interrupt_in_the_middle_of_the_start_leaves_nothing(service: Service) -> None:
    service.environment["PYTHONUNBUFFERED"] = "1"
    with subprocess.Popen(
        service.command(),
        cwd=_ROOT,
        env=service.environment,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"starting Ray" in line:
                break
        time.sleep(1.5)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=_STOP_SECONDS) == 0
    assert service.processes() == []


def test_a_taken_port_is_named(service: Service) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", service.port))
        taken.listen()
        status, complaint = service.fails_to_start()
    assert status == 2
    assert complaint.count("\n") == 1
    assert str(service.port) in complaint
    assert "--port" in complaint


def test_a_setting_that_makes_no_sense_is_named(service: Service) -> None:
    service.environment["MEMORY_EMBEDDING_TIMEOUT_SECONDS"] = "-1"
    status, complaint = service.fails_to_start()
    assert status == 2
    assert complaint.count("\n") == 1
    assert "MEMORY_EMBEDDING_TIMEOUT_SECONDS" in complaint


def test_a_second_launcher_for_the_same_data_is_refused(service: Service) -> None:
    make_run_directory(service.run_directory)
    with only_launcher(service.run_directory):
        status, complaint = service.fails_to_start()
    assert status == 2
    assert str(os.getpid()) in complaint


def test_the_haproxy_wrapper_makes_no_replica_a_503(tmp_path: Path) -> None:
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(
        "backend http-memory\n"
        "    http-reuse always\n"
        "    server SERVE_REPLICA-a 127.0.0.1:30000 check\n"
        "    server SERVE_PROXY_ACTOR-b 127.0.0.1:8500 check backup\n"
    )
    answer = tmp_path / "500.http"
    answer.write_text("HTTP/1.1 500 Internal Server Error\r\n\r\n")
    wrapper = _ROOT / "serve_app" / "haproxy"
    subprocess.run(
        [wrapper, "-db", "-f", configuration, "-sf", "1"],
        env={"PATH": os.environ["PATH"], "MEMORY_HAPROXY_BINARY": "true"},
        check=True,
    )
    head, body = answer.read_bytes().decode().split("\r\n\r\n")
    assert head.startswith("HTTP/1.1 503 Service Unavailable\r\n")
    assert f"Content-Length: {len(body)}" in head
    assert "Retry-After: 1" in head
    assert json.loads(body)["error"]["code"] == "unavailable"
    assert configuration.read_text() == (
        "backend http-memory\n    http-reuse never\n    server SERVE_REPLICA-a 127.0.0.1:30000 check\n"
    )
