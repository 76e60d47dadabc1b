"""The default provider, loaded once for all tests of a process."""

from functools import cache

from deployments.embedding.providers.local import LocalProvider
from tests.integration.postgres import SPACE


class SharedProvider(LocalProvider):
    """The local provider in the tests' space. It outlives who closes it."""

    async def close(self) -> None:
        """Keep the thread: other tests go on with it."""


@cache
def shared_provider() -> SharedProvider:
    """Return the one of this process. Its weights take 0.2 s to load."""
    return SharedProvider(SPACE)
