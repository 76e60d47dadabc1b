"""What waits goes together: the cost of a call or of a commit is paid once for all that wait."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from deployments.errors import MemoryLayerError, OverloadedError

Item = TypeVar("Item")
Result = TypeVar("Result")


class MicroBatcher(Generic[Item, Result]):
    """Sends items in batches, without ever waiting for a batch to fill.

    Whenever one of `slots` is free, all that waits (`max_batch` at most) is sent as one. A single caller thus
    loses nothing, and under load the batches grow by themselves. `send` answers with one result or one error
    for each item, in order, so that a bad item does not fail its neighbours; what it raises fails its batch.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Result | MemoryLayerError]]],
        *,
        max_batch: int,
        slots: int,
        max_waiting: int,
    ) -> None:
        self._send = send
        self._max_batch = max_batch
        self._free = slots
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> Result:
        """Send an item with whatever else waits. Raises its error, or `OverloadedError` when too many wait."""
        if len(self._waiting) >= self._max_waiting:
            raise OverloadedError("Too many requests wait already.")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._free:
            self._free -= 1
            # In a context of its own: the log lines of a batch are not those of whoever happened to start it.
            task = asyncio.create_task(self._drain(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _drain(self) -> None:
        try:
            while batch := self._take():
                await self._deliver(batch)
        finally:
            self._free += 1

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        while self._waiting and len(batch) < self._max_batch:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch

    async def _deliver(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        results: Sequence[Result | Exception]
        try:
            results = await self._send([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait for this batch
            results = [error] * len(batch)
        if len(results) != len(batch):
            results = [RuntimeError(f"{len(results)} results for {len(batch)} items")] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
