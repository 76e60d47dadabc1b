"""What becomes of calls to Search replicas that die, hang or are slow."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.errors import InvalidRequestError, MemoryLayerError, SearchUnavailableError
from deployments.search.routing import failover
from deployments.search.routing.affinity import ANY
from deployments.search.routing.failover import Failover
from tests.integration.polling import until

WELL, SLOW, SILENT, DEAD, FULL = "well", "slow", "silent", "dead", "full"
ANSWERING = {WELL, SLOW}


class Replicas:
    """Replicas by name, each of which behaves as is said; a silent one answers when it is let go."""

    def __init__(self, **behaviour: str) -> None:
        self.behaviour = behaviour
        self.sent: list[str] = []
        self.checks: Counter[str] = Counter()
        self.given_up: list[str] = []
        self.error: MemoryLayerError | None = None
        self.let_go = asyncio.Event()
        self.failover = Failover(lambda: tuple(sorted(self.behaviour)), self._check)
        self._send = self.failover.guarded(self._send_to)

    async def ask(self, replica: str, item: str = "item") -> list[str | MemoryLayerError]:
        return list(await self._send(replica)([item]))

    def _send_to(self, replica: str) -> Callable[[Sequence[str]], Awaitable[list[str | MemoryLayerError]]]:
        async def send(items: Sequence[str]) -> list[str | MemoryLayerError]:
            self.sent.append(replica)
            await self._behave(replica, full_for=SearchUnavailableError("full"))
            return [f"{item} by {replica}" for item in items]

        return send

    async def _check(self, replica: str) -> bool:
        self.checks[replica] += 1
        try:
            async with asyncio.timeout(failover.CHECK_SECONDS):
                if self.behaviour[replica] != SLOW:
                    await self._behave(replica)
        except TimeoutError:
            raise SearchUnavailableError("TimeoutError") from None
        return True

    async def _behave(self, replica: str, full_for: MemoryLayerError | None = None) -> None:
        if self.error is not None:
            raise self.error
        behaviour = self.behaviour.get(replica, SILENT)
        if behaviour == DEAD:
            raise SearchUnavailableError("ActorDiedError")
        if behaviour == FULL and full_for is not None:
            raise full_for
        if behaviour == SLOW:
            await asyncio.sleep(5 * failover.TIMEOUT_SECONDS)
        if behaviour == SILENT:
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                self.given_up.append(replica)
                raise


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quick():
        yield


def quick() -> "patch.multiple":  # type: ignore[name-defined]
    return patch.multiple(failover, TIMEOUT_SECONDS=0.01, CHECK_SECONDS=0.02, RECHECK_SECONDS=0.02)


@pytest.mark.parametrize("fault", [SILENT, DEAD])
async def test_what_a_faulty_replica_was_asked_another_answers(fault: str) -> None:
    replicas = Replicas(a=fault, b=WELL)

    assert await replicas.ask("a") == ["item by b"]
    assert await replicas.ask("a") == ["item by b"]

    # The second was not even sent to it.
    assert replicas.sent == ["a", "b", "b"]
    assert list(replicas.failover.available()) == ["b"]


async def test_a_slow_replica_that_answers_checks_is_not_left_out_and_nothing_is_sent_twice() -> None:
    replicas = Replicas(a=SLOW, b=WELL)

    assert await replicas.ask("a") == ["item by a"]

    assert replicas.sent == ["a"]
    assert list(replicas.failover.available()) == ["a", "b"]


async def test_a_replica_that_answers_calls_and_is_late_with_its_check_is_not_left_out() -> None:
    replicas = Replicas(a=SILENT, b=WELL)

    async def late(replica: str) -> bool:
        replicas.checks[replica] += 1
        replicas.let_go.set()
        await until(asking[0].done)
        raise SearchUnavailableError("TimeoutError")

    replicas.failover._check = late
    asking = [asyncio.create_task(replicas.ask("a"))]

    assert await asking[0] == ["item by a"]
    await until(lambda: not replicas.failover._checks)

    assert replicas.sent == ["a"]
    assert list(replicas.failover.available()) == ["a", "b"]


async def test_a_replica_that_refuses_is_not_left_out() -> None:
    replicas = Replicas(a=FULL, b=WELL)

    with pytest.raises(SearchUnavailableError, match="full"):
        await replicas.ask("a")

    assert replicas.sent == ["a"]
    assert list(replicas.failover.available()) == ["a", "b"]


async def test_an_error_of_another_kind_is_an_answer() -> None:
    replicas = Replicas(a=WELL, b=WELL)
    replicas.error = InvalidRequestError("no")

    with pytest.raises(InvalidRequestError):
        await replicas.ask("a")

    assert (replicas.sent, replicas.checks) == (["a"], Counter())


async def test_a_replica_that_answers_again_is_asked_again() -> None:
    replicas = Replicas(a=SILENT, b=WELL)
    await replicas.ask("a")

    replicas.behaviour["a"] = WELL
    await until(lambda: "a" in replicas.failover.available())

    assert await replicas.ask("a") == ["item by a"]


async def test_a_replica_that_is_gone_is_not_checked_any_more() -> None:
    replicas = Replicas(a=DEAD, b=WELL)
    await replicas.ask("a")

    del replicas.behaviour["a"]
    await until(lambda: not replicas.failover._left_out)
    checks = replicas.checks["a"]
    await asyncio.sleep(3 * failover.RECHECK_SECONDS)

    assert replicas.checks["a"] == checks


async def test_a_call_is_repeated_when_its_replica_is_gone_from_the_list_already() -> None:
    replicas = Replicas(a=DEAD, b=WELL)
    behave = replicas._behave

    async def gone(replica: str, full_for: MemoryLayerError | None = None) -> None:
        try:
            await behave(replica, full_for)
        finally:
            replicas.behaviour.pop("a", None)

    replicas._behave = gone  # type: ignore[method-assign]

    assert await replicas.ask("a") == ["item by b"]
    assert replicas.checks["a"] == 0


async def test_a_replica_that_drains_answers_what_it_has() -> None:
    replicas = Replicas(a=SILENT, b=WELL)
    asking = asyncio.create_task(replicas.ask("a"))
    await until(lambda: replicas.sent == ["a"])

    del replicas.behaviour["a"]
    await asyncio.sleep(3 * failover.TIMEOUT_SECONDS)
    replicas.let_go.set()

    assert await asking == ["item by a"]
    assert replicas.sent == ["a"]


async def test_before_any_replica_is_known_the_router_is_waited_for() -> None:
    replicas = Replicas()
    asking = asyncio.create_task(replicas.ask(ANY))
    await until(lambda: replicas.sent == [ANY])

    await asyncio.sleep(3 * failover.TIMEOUT_SECONDS)
    replicas.let_go.set()

    assert await asking == ["item by "]
    assert not replicas.checks


async def test_the_only_replica_is_waited_for() -> None:
    replicas = Replicas(a=SILENT)
    asking = asyncio.create_task(replicas.ask("a"))
    await until(lambda: replicas.checks["a"] > 1)

    replicas.let_go.set()

    assert await asking == ["item by a"]
    assert replicas.sent == ["a"]


async def test_many_calls_share_a_check() -> None:
    replicas = Replicas(a=SILENT, b=WELL)

    await asyncio.gather(*(replicas.ask("a", str(number)) for number in range(50)))

    assert replicas.sent == ["a"] * 50 + ["b"] * 50
    assert replicas.checks["a"] == 1


async def test_a_caller_that_leaves_takes_its_calls_along() -> None:
    replicas = Replicas(a=SILENT, b=SILENT)
    asking = asyncio.create_task(replicas.ask("a"))
    await until(lambda: replicas.sent == ["a", "b"])

    asking.cancel()
    await asyncio.wait([asking])

    await until(lambda: Counter(replicas.given_up) >= Counter(["a", "b"]))


behaviours = st.sampled_from([WELL, SLOW, SILENT, DEAD, FULL])


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.sampled_from("abc"), behaviours, min_size=1), st.lists(st.sampled_from("abc"), max_size=10))
def test_each_call_is_answered_once_or_refused_and_sent_twice_at_most(
    behaviour: dict[str, str], asked: list[str]
) -> None:
    async def ask_all() -> tuple[Replicas, list[object]]:
        replicas = Replicas(**behaviour)
        asking = [asyncio.create_task(replicas.ask(name, name)) for name in asked if name in behaviour]
        # Two faults at once: what is sent to another faulty replica waits for the first.
        await asyncio.sleep(0.1)
        replicas.let_go.set()
        return replicas, await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), timeout=30)

    with quick():
        replicas, answers = asyncio.run(ask_all())

    names = [name for name in asked if name in behaviour]
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, list):
            assert answer[0].startswith(f"{name} by ")
        else:
            assert isinstance(answer, SearchUnavailableError)
        if behaviour[name] in ANSWERING:
            assert answer == [f"{name} by {name}"]
    assert len(replicas.sent) <= 2 * len(names)
