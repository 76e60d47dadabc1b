"""Micro-batching: all queued items share the cost of one call or one commit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar

from opentelemetry.trace import Span, get_current_span

from deployments.errors import MemoryLayerError, OverloadedError
from deployments.runtime.call_bytes import REQUEST_BYTES
from deployments.runtime.turns import Turns
from deployments.tracing.spans import shared

# An item that would wait longer is refused at once: its client would time out or get a 504.
MOST_WAIT_SECONDS = 5.0
# Weight of the newest batch in the moving average of batch durations: five slow ones make 83 % of it.
NEWEST_SHARE = 0.3

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    future: asyncio.Future[Result]
    span: Span


class MicroBatcher(Generic[Item, Result]):
    """Sends items in batches, without ever waiting for a batch to fill.

    Whenever one of `slots` is free, it sends all queued items as one batch: `max_batch` at most and, with `size_of`, at
    most `REQUEST_BYTES`. So a single caller never waits, and batches grow under load. With `owner_of`, owners take
    turns when more is queued than a batch takes, and when the queue is full, the owner with most items in it gives way
    to one with fewer. An item is refused if it would wait too long, estimated from the duration of recent batches.
    `send` returns one result or error for each item, in order, so that a bad item does not fail its neighbours. An
    exception from `send` fails the whole batch.
    A batch is cancelled once all of its callers are: one cancelled caller does not affect the others. The work of a
    batch belongs to the trace of its first traced item, and the spans of the other items link to it.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Result | MemoryLayerError]]],
        *,
        max_batch: int,
        slots: int,
        max_waiting: int,
        size_of: Callable[[Item], int] | None = None,
        owner_of: Callable[[Item], str] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`size_of` returns the serialized size of an item in bytes. `owner_of`: None has one owner for all items.

        `clock`: in seconds.
        """
        self._send = send
        self._max_batch = max_batch
        self._slots = self._free = slots
        self._max_waiting = max_waiting
        self._size_of = size_of
        self._owner_of = owner_of
        self._clock = clock
        self._batch_seconds = 0.0
        self._waiting: Turns[_Waiting[Item, Result]] = Turns()
        self._tasks: set[asyncio.Task[None]] = set()

    def waiting(self) -> int:
        """Return how many items are queued."""
        return len(self._waiting)

    def idle(self) -> bool:
        """Return whether no item waits and no batch is in flight."""
        return not self._waiting and not self._tasks

    async def submit(self, item: Item) -> Result:
        """Send an item in the next batch and return its result.

        Raises its error, or `OverloadedError` if the queue is full or the wait would exceed `MOST_WAIT_SECONDS`.
        """
        owner = self._owner_of(item) if self._owner_of else ""
        wait = self._wait_seconds(owner)
        if wait > MOST_WAIT_SECONDS or (len(self._waiting) >= self._max_waiting and not self._make_room(owner, wait)):
            raise _overloaded(wait)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.add(owner, _Waiting(item, future, get_current_span()))
        if self._free:
            self._free -= 1
            # In a new context: the log lines of a batch must not carry the request id of the caller that started it.
            task = asyncio.create_task(self._drain(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    def _make_room(self, owner: str, wait: float) -> bool:
        """Refuse an item of the owner with most in the queue. Return whether there was one to refuse."""
        refused = self._waiting.give_way(owner)
        if refused is None:
            return False
        if not refused.future.done():
            refused.future.set_exception(_overloaded(wait))
        return True

    def _wait_seconds(self, owner: str) -> float:
        """Return the estimated queueing time of a new item, in seconds."""
        if self._free:
            return 0.0
        return (self._waiting.ahead(owner) // self._max_batch + 1) * self._batch_seconds / self._slots

    async def _drain(self) -> None:
        try:
            while batch := self._take():
                await self._deliver(batch)
        finally:
            self._free += 1

    def _take(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        room = REQUEST_BYTES
        while self._waiting and len(batch) < self._max_batch:
            waiting = self._waiting.first()
            if waiting.future.done():
                self._waiting.drop()
                continue
            room -= self._size_of(waiting.item) if self._size_of else 0
            if room < 0 and batch:
                break
            batch.append(self._waiting.take())
        return batch

    async def _deliver(self, batch: list[_Waiting[Item, Result]]) -> None:
        began = self._clock()
        results = await self._results(batch)
        self._batch_seconds += NEWEST_SHARE * (self._clock() - began - self._batch_seconds)
        for waiting, result in zip(batch, results, strict=True):
            future = waiting.future
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _results(self, batch: list[_Waiting[Item, Result]]) -> Sequence[Result | BaseException]:
        with shared([waiting.span for waiting in batch]):
            sending = asyncio.ensure_future(self._send([waiting.item for waiting in batch]))
        cancel_if_abandoned = partial(_cancel_if_abandoned, sending, [waiting.future for waiting in batch])
        for waiting in batch:
            waiting.future.add_done_callback(cancel_if_abandoned)
        # Any exception is passed on to the callers of this batch.
        (results,) = await asyncio.gather(sending, return_exceptions=True)
        if isinstance(results, BaseException):
            return [results] * len(batch)
        if len(results) != len(batch):
            return [RuntimeError(f"{len(results)} results for {len(batch)} items")] * len(batch)
        return results


def _overloaded(wait: float) -> OverloadedError:
    return OverloadedError("Too many requests wait already.", retry_after=max(wait, 1.0))


def _cancel_if_abandoned(
    sending: asyncio.Future[Any], waiting: Sequence[asyncio.Future[Any]], left: asyncio.Future[Any]
) -> None:
    if left.cancelled() and all(future.done() for future in waiting):
        sending.cancel()
