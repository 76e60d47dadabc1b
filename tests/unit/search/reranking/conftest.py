"""A stand-in endpoint, and rerankers that ask it."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from deployments.search.reranking.endpoint import RerankEndpoint
from deployments.settings import RerankSettings

from .stand_in import RerankStandIn

KEY = "rerank-0123456789-never-to-be-seen"
MakeEndpoint = Callable[..., RerankEndpoint]


def rerank_settings(**fields: Any) -> RerankSettings:
    """Settings that name a model and a key, and give the endpoint the time that a busy machine needs."""
    given = {"model": "reranker-1", "api_key": SecretStr(KEY), "timeout_seconds": 10.0, **fields}
    return RerankSettings(**given)


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is set where the tests run does not count."""
    for name in [name for name in os.environ if name.startswith("MEMORY_RERANK_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[RerankStandIn]:
    """A fresh server, to be reached without a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = RerankStandIn()
    yield server
    server.close()


@pytest.fixture
async def make_endpoint(stand_in: RerankStandIn) -> AsyncIterator[MakeEndpoint]:
    """Makes rerankers that ask the stand-in, and closes them when the test ends."""
    made: list[RerankEndpoint] = []

    def make(url: str | None = None, **fields: Any) -> RerankEndpoint:
        made.append(RerankEndpoint(url or f"{stand_in.address}/v2/rerank", rerank_settings(**fields)))
        return made[-1]

    yield make
    for each in made:
        await each.close()
