"""Rate-limit windows in the memory of one process."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import TLRUCache
from limits.aio.storage import Storage

MOST_WINDOWS = 100_000


@dataclass
class _Window:
    count: int
    ends: float


class BoundedMemoryStorage(Storage):
    """Evicts a window when it ends, and the least recently used one when there are too many.

    The library's `MemoryStorage` scans all windows at each increment.
    """

    STORAGE_SCHEME = ["async+bounded-memory"]  # noqa: RUF012 - the library reads a list

    def __init__(self, most: int = MOST_WINDOWS, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock
        self._windows: TLRUCache[str, _Window] = TLRUCache(most, ttu=lambda _, window, __: window.ends, timer=clock)

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return the errors of an unavailable storage. This one is always available."""
        return ValueError

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Add `amount`, in a new window of `expiry` seconds if none is open. Return the count."""
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(0, self._clock() + expiry)
        window.count += amount
        return window.count

    async def get(self, key: str) -> int:
        """Return the count of the open window."""
        window = self._windows.get(key)
        return window.count if window is not None else 0

    async def get_expiry(self, key: str) -> float:
        """Return the time at which the open window ends, or now if none is open."""
        window = self._windows.get(key)
        return window.ends if window is not None else self._clock()

    async def check(self) -> bool:
        """Return True: the storage is always available."""
        return True

    async def reset(self) -> int | None:
        """Delete all windows. Return how many there were."""
        count = len(self._windows)
        self._windows.clear()
        return count

    async def clear(self, key: str) -> None:
        """Delete one window."""
        self._windows.pop(key, None)
