"""The service as `make serve` starts it, for the tests: its own data, its own ports, nothing left behind."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import yaml

from deployments.storage.postgres import embedded
from serve_app.launcher.cluster_environment import run_directory
from serve_app.launcher.run_processes import marked_processes, stop_marked_processes
from tests.paths import ROOT, SERVE_CONFIG
from tests.ports import free_port

_START_SECONDS = 180
STOP_SECONDS = 60


@contextlib.contextmanager
def prepared(**environment: str) -> Iterator["LaunchedService"]:
    """A service that is ready to be started. Not under pytest's own directory: other runs clean that up."""
    with tempfile.TemporaryDirectory(prefix="ml-serve-") as home:
        service = LaunchedService(Path(home))
        service.environment |= environment
        try:
            yield service
        finally:
            service.clean_up()


class LaunchedService:
    """One launcher with its data directory, on ports of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.data_dir = home / "data"
        self.run_directory = run_directory(self.data_dir)
        self.port = free_port()
        self.dashboard_port = free_port()
        self._log = home / "console.log"
        first = random.randrange(20000, 31000, 100)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MEMORY_", "OTEL_"))},
            # Ray keeps its token there.
            "HOME": str(home),
            "MEMORY_DATA_DIR": str(self.data_dir),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + 99),
        }
        self.options: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    def with_replicas(self, **counts: int) -> None:
        """Start from `serve_config.yaml` with so many replicas of the deployments that are named."""
        config = yaml.safe_load(SERVE_CONFIG.read_text())
        deployments = {each["name"]: each for each in config["applications"][0]["deployments"]}
        for name, count in counts.items():
            deployments[name]["num_replicas"] = count
        path = self._home / "serve_config.yaml"
        path.write_text(yaml.safe_dump(config))
        self.options = ["--config", str(path)]

    def command(self) -> list[str]:
        ports = ["--port", str(self.port), "--dashboard-port", str(self.dashboard_port)]
        return [sys.executable, "-m", "serve_app.launch", *ports, *self.options]

    def console(self) -> str:
        return self._log.read_text()

    def start(self) -> None:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
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
            self.command(), cwd=ROOT, env=self.environment, capture_output=True, timeout=60, check=False
        )
        return result.returncode, result.stderr.decode()

    def interrupt(self, times: int = 1) -> int:
        """Press Ctrl-C, the second time for haste: the terminal sends the signal to the whole group."""
        assert self.process is not None
        for press in range(times):
            time.sleep(press)
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=STOP_SECONDS)

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

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The replicas of one deployment: Ray puts its name into the process's title."""
        title = f"ServeReplica:memory:{deployment}"
        return [process for process in marked_processes(self.run_directory) if _has_title(process, title)]

    def run_job(self, *entrypoint: str) -> subprocess.CompletedProcess[str]:
        """Submit a Ray job from a checkout, as the documentation says, and wait for its end."""
        address = f"http://127.0.0.1:{self.dashboard_port}"
        submit = [str(Path(sys.executable).with_name("ray")), "job", "submit", "--address", address]
        return subprocess.run(
            [*submit, "--working-dir", ".", "--", *entrypoint],
            cwd=ROOT,
            env={**self.environment, "RAY_AUTH_MODE": "token"},
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
            check=False,
        )

    def clean_up(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        stop_marked_processes(self.run_directory)
        embedded.stop(self.data_dir)
        shutil.rmtree(self.run_directory, ignore_errors=True)

    def _postgres(self) -> list[psutil.Process]:
        directory = str(self.data_dir / "postgres")
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.name() == "postgres" and any(part.endswith(directory) for part in process.cmdline()):
                    found.append(process)
        return found


def _has_title(process: psutil.Process, title: str) -> bool:
    try:
        return any(title in part for part in process.cmdline())
    except psutil.Error:
        return False
