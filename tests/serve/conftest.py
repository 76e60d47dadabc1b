"""One real cluster for all tests that do not start or stop it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serve.launched_service import LaunchedService


@pytest.fixture
def service() -> Iterator[LaunchedService]:
    """A service that the test starts and stops. Not under pytest's own directory: other runs clean that up."""
    with tempfile.TemporaryDirectory(prefix="ml-serve-") as home:
        service = LaunchedService(Path(home))
        try:
            yield service
        finally:
            service.clean_up()


@pytest.fixture(scope="session")
def cluster() -> Iterator[LaunchedService]:
    """HAProxy, Serve, every deployment and Postgres, from `serve_config.yaml`."""
    with tempfile.TemporaryDirectory(prefix="ml-serve-") as home:
        service = LaunchedService(Path(home))
        # A killed worker's claim runs out sooner than in production: the tests wait for it.
        service.environment["MEMORY_EMBEDDING_LEASE_SECONDS"] = "5"
        # Due once, at the start: what the tests store is too young for it.
        service.environment["MEMORY_RETENTION_SCHEDULE_SECONDS"] = "3600"
        try:
            service.start()
            yield service
        finally:
            service.clean_up()


@pytest.fixture
def client(cluster: LaunchedService) -> Iterator[httpx.Client]:
    """A client of the API."""
    with httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}", timeout=30) as client:
        yield client
