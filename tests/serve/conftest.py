"""One real cluster for all tests that do not start or stop it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.serve.launched_service import LaunchedService, prepared
from tests.serve.test_cluster import wait_until

SEARCH_REPLICAS = 2


@pytest.fixture
def service() -> Iterator[LaunchedService]:
    """A service that the test starts and stops."""
    with prepared() as service:
        yield service


@pytest.fixture(scope="session")
def launched() -> Iterator[LaunchedService]:
    """HAProxy, Serve, every deployment and Postgres, from `serve_config.yaml`, with two Search replicas."""
    with prepared(
        # A killed worker's claim runs out sooner than in production: the tests wait for it.
        MEMORY_EMBEDDING_LEASE_SECONDS="5",
        # They look requests up in the log.
        MEMORY_SLOW_REQUEST_SECONDS="0",
        MEMORY_LOG_LEVEL="DEBUG",
        # Due once, at the start: what the tests store is too young for it.
        MEMORY_RETENTION_SCHEDULE_SECONDS="3600",
    ) as service:
        service.with_replicas(Search=SEARCH_REPLICAS)
        service.start()
        yield service


@pytest.fixture
def cluster(launched: LaunchedService) -> LaunchedService:
    """The launched service with all its Search replicas: an earlier test may have killed one."""
    wait_until(lambda: len(launched.replicas("Search")) == SEARCH_REPLICAS)
    return launched


@pytest.fixture
def client(cluster: LaunchedService) -> Iterator[httpx.Client]:
    """A client of the API."""
    with httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}", timeout=30) as client:
        yield client
