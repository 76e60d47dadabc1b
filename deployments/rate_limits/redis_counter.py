"""The count in Redis, for several clusters, or for one whose counts outlive the counter's replica."""

import time
from collections.abc import Sequence
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
    """The count in one Redis, which is connected to when it is first asked."""

    def __init__(self, url: str, timeout: float) -> None:
        """`timeout`: seconds for connecting, and for each command."""
        self._storage = _MillisecondStorage(
            f"async+{url}",
            implementation="redispy",
            key_prefix=KEY_PREFIX,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # Once more at once, for a connection that broke while it lay idle; never with a wait. Its type leaves
            # out this error of its own package.
            retry=Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,)),  # type: ignore[arg-type]
        )
        self._counter = WindowCounter(self._storage)

    async def take_many(self, takes: Sequence[Take]) -> list[Grant]:
        """A grant for each take, in order. Raises `UnavailableError`."""
        try:
            return await self._counter.take_many(takes)
        except (exceptions.RedisError, OSError, TimeoutError) as error:
            raise UnavailableError("Redis does not answer.", {"reason": type(error).__name__}) from error

    async def close(self) -> None:
        """Close its connections."""
        await self._storage.redis.aclose()


class _MillisecondStorage(RedisStorage):
    """Says when a window ends to the millisecond: the library rounds to seconds, which some windows last."""

    @property
    def redis(self) -> "Redis":
        return cast("Redis", cast("RedispyBridge", self.bridge).storage)

    async def get_expiry(self, key: str) -> float:
        left = await self.redis.pttl(self.bridge.prefixed_key(key))
        return time.time() + max(int(left), 0) / 1000
