"""Two real clusters, one after the other: as `make serve` starts the service, and as production runs it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.otlp_receiver import Receiver, receiving
from tests.serve.launched_service import LaunchedService, prepared
from tests.serve.test_cluster import wait_until
from tests.unit.embedding.stand_in import StandIn

# As in `serve_config.yaml`.
SEARCH_REPLICAS = 2
INGRESS_REPLICAS = 3
ROOT_KEY = "root-key-of-the-tests"
# Another address of this machine, for connections that come from a proxy in front.
TRUSTED_PROXY = "127.0.0.2"
TENANT_LIMIT = 200
# More messages than an index in memory may hold in production's tests.
LARGE_TENANT = 50


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what uses `launched`, then what stops it, then what uses `production`.

    A start takes 20 to 40 s, and a cluster that waits takes a part of a core from the other.
    """

    def turn(item: pytest.Item) -> int:
        fixtures: list[str] = getattr(item, "fixturenames", [])
        return 2 if "production" in fixtures else int("launched_at_last" in fixtures)

    items.sort(key=turn)


@pytest.fixture
def service() -> Iterator[LaunchedService]:
    """A service that the test starts and stops."""
    with prepared() as service:
        yield service


@pytest.fixture(scope="session")
def launched() -> Iterator[LaunchedService]:
    """HAProxy, Serve, every deployment and Postgres, from `serve_config.yaml`."""
    with prepared(
        # A killed worker's claim runs out sooner than in production: the tests wait for it.
        MEMORY_EMBEDDING_LEASE_SECONDS="5",
        # They look requests up in the log.
        MEMORY_SLOW_REQUEST_SECONDS="0",
        MEMORY_LOG_LEVEL="DEBUG",
        # Due once, at the start: what the tests store is too young for it.
        MEMORY_RETENTION_SCHEDULE_SECONDS="3600",
        MEMORY_TRUSTED_PROXIES=TRUSTED_PROXY,
    ) as service:
        service.start()
        yield service


@pytest.fixture
def launched_at_last(launched: LaunchedService) -> LaunchedService:
    """The launched service, for the test that stops it: it comes after all others that use it."""
    return launched


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


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Where the spans of `production` go."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def provider() -> Iterator[StandIn]:
    """The embedding server of `production`."""
    server = StandIn()
    yield server
    server.close()


@pytest.fixture(scope="session")
def production(receiver: Receiver, provider: StandIn) -> Iterator[LaunchedService]:
    """Keys, a remote provider, limits, traces and logs of production, on three ingress replicas."""
    with prepared(
        NO_PROXY="127.0.0.1",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        OTEL_BSP_SCHEDULE_DELAY="200",
        MEMORY_ENVIRONMENT="production",
        MEMORY_SLOW_REQUEST_SECONDS="0",
        MEMORY_LOG_LEVEL="DEBUG",
        MEMORY_API_KEYS=ROOT_KEY,
        MEMORY_EMBEDDING_PROVIDER="openai_compatible",
        MEMORY_EMBEDDING_DIMENSIONS="96",
        MEMORY_OPENAI_BASE_URL=f"{provider.address}/v1",
        # Some tests wait for it. No other request takes as long, also where the machine is slow.
        MEMORY_REQUEST_TIMEOUT_SECONDS="6",
        # Its window outlasts every test.
        MEMORY_TENANT_RATE_LIMIT=f"{TENANT_LIMIT}/day",
        # Searches of indexes in memory, and exact ones, are not audited.
        MEMORY_SEARCH_INDEX_MESSAGES=str(LARGE_TENANT),
        MEMORY_SEARCH_EXACT_LIMIT="0",
        MEMORY_SEARCH_RECALL_AUDITS_PER_MINUTE="120",
    ) as service:
        service.with_replicas(Ingress=INGRESS_REPLICAS)
        service.start()
        yield service


@pytest.fixture
def root(production: LaunchedService) -> Iterator[httpx.Client]:
    """A client of production that may do everything."""
    url = f"http://127.0.0.1:{production.port}"
    with httpx.Client(base_url=url, timeout=30, headers={"X-API-Key": ROOT_KEY}) as client:
        yield client
