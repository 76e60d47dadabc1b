"""Each test has an empty database for itself: a copy of a migrated template, emptied after each test."""

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvicorn

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.settings import Settings
from jobs.terminal import OK
from tests.integration.locales import LOCALES, LocaleServer, locale_server
from tests.integration.moving import COUNT, fill, in_small_parts, run
from tests.integration.postgres import PostgresServer, fast_directory
from tests.integration.service import Service, create_service
from tests.integration.shared_provider import shared_provider

# The longest request line that the application itself documents; HAProxy takes less, which docs/api.md says.
REQUEST_LINE_BYTES = 2 * 1024**2


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of a process."""
    with tempfile.TemporaryDirectory(prefix="ml-test-", dir=fast_directory()) as directory:
        server = PostgresServer(Path(directory))
        yield server
        server.stop()


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty, migrated database."""
    url = postgres.lend()
    yield url
    postgres.take_back(url)


@pytest.fixture(scope="session")
def postgres_of_locales() -> Iterator[LocaleServer]:
    """Run one server for the databases of all locales. It takes 1.5 s, and 0.2 s more for each locale."""
    with locale_server() as server:
        yield server


@pytest.fixture(params=LOCALES)
def locale(request: pytest.FixtureRequest) -> str:
    """Name the locale of `localized_database_url`. A test that uses either runs once for each locale."""
    name: str = request.param
    return name


@pytest.fixture
def localized_database_url(postgres_of_locales: LocaleServer, locale: str) -> Iterator[str]:
    """Create an empty, migrated database of `locale`."""
    url = postgres_of_locales.create(locale)
    yield url
    postgres_of_locales.drop(url)


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The defaults, over the test's database."""
    monkeypatch.setenv("MEMORY_DATABASE_URL", database_url)
    # Of 5 s: a slow machine that runs several tests at once takes longer now and then.
    monkeypatch.setenv("MEMORY_DATABASE_CONNECT_TIMEOUT_SECONDS", "15")
    monkeypatch.setenv("MEMORY_EMBEDDING_RETRY_BASE_SECONDS", "0.01")
    monkeypatch.setenv("MEMORY_EMBEDDING_RETRY_MAX_SECONDS", "0.02")
    return Settings.load()


@pytest.fixture
def provider() -> EmbeddingProvider:
    """The default provider; tests override it to have it fail."""
    return shared_provider()


@pytest.fixture
async def service(settings: Settings, provider: EmbeddingProvider) -> AsyncIterator[Service]:
    """The service over an empty database. Nothing is embedded until the test says so."""
    async with create_service(settings, provider) as service:
        yield service
    await provider.close()


@pytest.fixture
async def address(service: Service) -> AsyncIterator[str]:
    """Serve the application over HTTP, and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            service.app, http="h11", h11_max_incomplete_event_size=REQUEST_LINE_BYTES, log_config=None, lifespan="off"
        )
        server = uvicorn.Server(config)
        # What connects before it accepts waits in the socket's backlog.
        serving = asyncio.create_task(server.serve([listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


@pytest.fixture
def here(database_url: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database that is moved from; commands run in a folder without `.env`, a few messages at a time."""
    monkeypatch.chdir(tmp_path)
    in_small_parts(monkeypatch)
    return database_url


@pytest.fixture
def there(postgres: PostgresServer) -> Iterator[str]:
    """The database that is moved to."""
    url = postgres.lend()
    yield url
    postgres.take_back(url)


@pytest.fixture
def exported(here: str, tmp_path: Path) -> Path:
    """Acme in a file."""
    fill(here, COUNT)
    path = tmp_path / "acme.jsonl.gz"
    assert run("export", "acme", path) == OK
    return path
