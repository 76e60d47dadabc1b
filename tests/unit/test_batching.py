"""What waits goes together: the cost is paid once, and nobody pays for another's mistake."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from time import monotonic

import pytest

from deployments.errors import InvalidRequestError, MemoryLayerError, OverloadedError
from deployments.runtime.micro_batcher import MicroBatcher

BAD = -1


class Sender:
    """Doubles numbers, refuses -1 alone, and holds what it was sent until it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.go = asyncio.Event()
        if not held:
            self.go.set()

    async def __call__(self, items: Sequence[int]) -> list[int | MemoryLayerError]:
        self.batches.append(list(items))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.go.wait()
        self.at_once -= 1
        return [InvalidRequestError("bad") if item == BAD else item * 2 for item in items]


def batcher(send: Sender, max_batch: int = 100, slots: int = 1, max_waiting: int = 100) -> MicroBatcher[int, int]:
    return MicroBatcher(send, max_batch=max_batch, slots=slots, max_waiting=max_waiting)


def submit_all(batches: MicroBatcher[int, int], items: Sequence[int]) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batches.submit(item)) for item in items]


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_each_caller_gets_its_own_result() -> None:
    batches = batcher(Sender(), max_batch=3, slots=2)

    results = await asyncio.gather(*submit_all(batches, range(20)))

    assert results == [item * 2 for item in range(20)]


async def test_a_caller_alone_does_not_wait_for_others() -> None:
    send = Sender()

    assert await batcher(send).submit(1) == 2

    assert send.batches == [[1]]


async def test_all_that_waits_goes_as_one_in_order() -> None:
    send = Sender(held=True)
    batches = batcher(send)
    first = submit_all(batches, [0])
    await settle()
    rest = submit_all(batches, range(1, 8))
    await settle()
    assert send.batches == [[0]]

    send.go.set()
    await asyncio.gather(*first, *rest)

    assert send.batches == [[0], [1, 2, 3, 4, 5, 6, 7]]


async def test_a_batch_is_never_larger_than_allowed() -> None:
    send = Sender()

    await asyncio.gather(*submit_all(batcher(send, max_batch=4), range(10)))

    assert [len(batch) for batch in send.batches] == [4, 4, 2]


@pytest.mark.parametrize("slots", [1, 2, 3])
async def test_no_more_batches_are_under_way_than_there_are_slots(slots: int) -> None:
    send = Sender(held=True)
    tasks = submit_all(batcher(send, max_batch=1, slots=slots), range(10))
    await settle()
    assert len(send.batches) == slots

    send.go.set()
    await asyncio.gather(*tasks)

    assert send.most_at_once == slots


async def test_a_bad_item_does_not_fail_its_neighbours() -> None:
    batches = batcher(Sender())

    results = await asyncio.gather(*submit_all(batches, [1, BAD, 3]), return_exceptions=True)

    assert isinstance(results[1], InvalidRequestError)
    assert (results[0], results[2]) == (2, 6)


async def test_more_than_may_wait_is_refused_and_the_rest_is_served() -> None:
    send = Sender(held=True)
    batches = batcher(send, max_waiting=3)
    sent = submit_all(batches, [0])
    await settle()
    waiting = submit_all(batches, [1, 2, 3])
    await settle()

    with pytest.raises(OverloadedError):
        await batches.submit(4)

    send.go.set()
    assert await asyncio.gather(*sent, *waiting) == [0, 2, 4, 6]
    assert await batches.submit(5) == 10


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(Sender):
    """Takes so many seconds of a clock for each batch."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self.seconds = seconds

    async def __call__(self, items: Sequence[int]) -> list[int | MemoryLayerError]:
        answers = await super().__call__(items)
        self._clock.now += self.seconds
        return answers


async def test_what_could_not_be_sent_in_time_is_refused_at_once() -> None:
    clock = Clock()
    send = Slow(clock, seconds=2.0)
    batches: MicroBatcher[int, int] = MicroBatcher(send, max_batch=2, slots=1, max_waiting=1_000, clock=clock)
    for number in range(20):
        # Where nothing waits, nothing is refused, however long it takes.
        assert await batches.submit(number) == 2 * number

    send.go.clear()
    tasks = submit_all(batches, list(range(20)))
    await settle()
    send.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    # Batches of two take 2 s each: the third would wait for 6 s.
    refused = [result for result in results if isinstance(result, OverloadedError)]
    assert results[:4] == [0, 2, 4, 6]
    assert refused == results[4:]
    assert {round(error.retry_after or 0) for error in refused} == {6}


async def test_those_who_come_when_batches_are_fast_again_are_served() -> None:
    clock = Clock()
    send = Slow(clock, seconds=60.0)
    batches: MicroBatcher[int, int] = MicroBatcher(send, max_batch=2, slots=1, max_waiting=1_000, clock=clock)
    assert await asyncio.gather(*submit_all(batches, [0])) == [0]
    send.seconds = 0.001

    for number in range(20):
        assert await batches.submit(number) == 2 * number
    assert await asyncio.gather(*submit_all(batches, list(range(100)))) == [2 * number for number in range(100)]


async def test_a_caller_that_went_away_before_its_turn_is_not_sent() -> None:
    send = Sender(held=True)
    batches = batcher(send)
    tasks = submit_all(batches, [0])
    await settle()
    tasks += submit_all(batches, [1, 2, 3])
    await settle()

    tasks[2].cancel()
    await settle()
    send.go.set()

    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results.pop(2), asyncio.CancelledError)
    assert results == [0, 2, 6]
    assert send.batches == [[0], [1, 3]]


async def test_a_caller_that_goes_away_under_way_takes_nothing_from_the_others() -> None:
    send = Sender(held=True)
    batches = batcher(send)
    tasks = submit_all(batches, [1, 2])
    await settle()

    tasks[0].cancel()
    await settle()
    send.go.set()

    assert await tasks[1] == 4
    assert await batches.submit(3) == 6


async def test_a_batch_that_nobody_waits_for_any_more_is_given_up_and_its_slot_is_free() -> None:
    given_up: list[list[int]] = []

    async def send(items: Sequence[int]) -> Sequence[int]:
        try:
            await asyncio.sleep(0 if 3 in items else 3600)
        except asyncio.CancelledError:
            given_up.append(list(items))
            raise
        return items

    batches: MicroBatcher[int, int] = MicroBatcher(send, max_batch=2, slots=1, max_waiting=10)
    tasks = [asyncio.create_task(batches.submit(item)) for item in (1, 2)]
    await settle()
    tasks[0].cancel()
    await settle()
    assert given_up == []

    tasks[1].cancel()
    await settle()

    assert given_up == [[1, 2]]
    assert await batches.submit(3) == 3


async def test_what_sending_raises_fails_its_batch_and_no_other() -> None:
    calls = 0

    async def send(items: Sequence[int]) -> list[int | MemoryLayerError]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError
        return list(items)

    batches: MicroBatcher[int, int] = MicroBatcher(send, max_batch=2, slots=1, max_waiting=10)

    results = await asyncio.gather(*submit_all(batches, [1, 2, 3]), return_exceptions=True)

    assert [type(result) for result in results] == [ConnectionError, ConnectionError, int]


@pytest.mark.parametrize("answered", [0, 1, 3])
async def test_an_answer_of_the_wrong_length_is_an_error_and_leaves_nobody_waiting(answered: int) -> None:
    async def send(items: Sequence[int]) -> list[int | MemoryLayerError]:
        return [1] * answered

    batches: MicroBatcher[int, int] = MicroBatcher(send, max_batch=2, slots=1, max_waiting=10)

    async with asyncio.timeout(1):
        results = await asyncio.gather(*submit_all(batches, [1, 2]), return_exceptions=True)

    assert all(isinstance(result, Exception) for result in results)


async def test_a_batch_does_not_run_in_the_context_of_whoever_started_it() -> None:
    caller: ContextVar[str] = ContextVar("caller", default="nobody")
    seen: list[str] = []

    async def send(items: Sequence[int]) -> Sequence[int]:
        seen.append(caller.get())
        return items

    caller.set("first")
    batcher: MicroBatcher[int, int] = MicroBatcher(send, max_batch=10, slots=1, max_waiting=10)
    await batcher.submit(1)

    assert seen == ["nobody"]


def by_tens(send: Sender, max_waiting: int = 1_000, clock: Callable[[], float] = monotonic) -> MicroBatcher[int, int]:
    """Return a batcher to which the tens of a number are its owner."""
    return MicroBatcher(
        send, max_batch=2, slots=1, max_waiting=max_waiting, owner_of=lambda item: str(item // 10), clock=clock
    )


async def test_owners_take_turns() -> None:
    send = Sender(held=True)
    batches = by_tens(send)
    tasks = submit_all(batches, [0])
    await settle()
    tasks += submit_all(batches, [1, 2, 3, 4, 5, 10, 11, 20])
    await settle()

    tasks[1].cancel()
    await settle()
    send.go.set()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert send.batches == [[0], [2, 10], [20, 3], [11, 4], [5]]


async def test_where_no_more_may_wait_who_has_most_gives_way() -> None:
    send = Sender(held=True)
    batches = by_tens(send, max_waiting=4)
    tasks = submit_all(batches, [0])
    await settle()
    tasks += submit_all(batches, [1, 2, 3, 4])
    await settle()
    tasks += submit_all(batches, [10, 20, 11, 5])
    await settle()
    send.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    # 4 gave way to 10 and 3 to 20. Then nobody had so many that another would have fewer with one more.
    assert results[:3] + results[5:7] == [0, 2, 4, 20, 40]
    assert [type(result) for result in results[3:5] + results[7:]] == [OverloadedError] * 4
    assert batches.idle()


async def test_who_waits_for_little_is_not_refused_for_what_others_wait_for() -> None:
    clock = Clock()
    send = Slow(clock, seconds=2.0)
    batches = by_tens(send, clock=clock)
    for number in range(20):
        await batches.submit(number)

    send.go.clear()
    tasks = submit_all(batches, [*range(10), 10])
    await settle()
    send.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[9], OverloadedError)
    assert results[10] == 20
