"""The counter in Redis: for several clusters, or for counts that must outlive the counter's replica."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from deployments.errors import UnavailableError
from deployments.rate_limits.counter import Grant, Take, WindowCounter

if TYPE_CHECKING:
    from redis.asyncio import Redis

KEY_PREFIX = "ai-memory-layer"


class RedisCounter:
    """Counts in one Redis, to which it connects at the first call."""

    def __init__(self, url: str, timeout: float) -> None:
        """`timeout`: seconds for connecting and for each command."""
        self._storage = _MillisecondStorage(
            f"async+{url}",
            implementation="redispy",
            key_prefix=KEY_PREFIX,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # One immediate retry, for a connection that broke while it was idle. The type of `supported_errors` lacks
            # this error of its own package.
            retry=Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,)),  # type: ignore[arg-type]
        )
        self._counter = WindowCounter(self._storage)

    async def take_many(self, takes: Sequence[Take]) -> list[Grant]:
        """Return a grant for each take, in order. Raises `UnavailableError`."""
        with _away():
            return await self._counter.take_many(takes)

    async def ping(self) -> None:
        """Check that Redis answers. Raises `UnavailableError`."""
        with _away():
            await self._storage.redis.ping()  # type: ignore[misc]  # typed for both of its clients

    async def close(self) -> None:
        """Close the connections."""
        await self._storage.redis.aclose()


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except (exceptions.RedisError, OSError, TimeoutError) as error:
        raise UnavailableError("Redis does not answer.", {"reason": type(error).__name__}) from error


class _MillisecondStorage(RedisStorage):
    """Returns the end of a window in milliseconds: the library rounds to seconds, and some windows last only one."""

    @property
    def redis(self) -> "Redis":
        return cast("Redis", cast("RedispyBridge", self.bridge).storage)

    async def get_expiry(self, key: str) -> float:
        left = await self.redis.pttl(self.bridge.prefixed_key(key))
        return time.time() + max(int(left), 0) / 1000
