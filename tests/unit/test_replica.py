"""When a replica is to be replaced."""

import asyncio
from collections.abc import Iterator

import pytest
import structlog

from deployments.runtime.replica import Replica
from deployments.settings import Settings


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A replica sets up the log of its process."""
    yield
    structlog.reset_defaults()


def replica_of_ours() -> Replica:
    return Replica("Test", Settings.load())


async def working() -> None:
    await asyncio.Event().wait()


async def breaking() -> None:
    raise ZeroDivisionError


async def ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


async def test_a_replica_whose_work_goes_on_is_well() -> None:
    replica, task = replica_of_ours(), asyncio.create_task(working())
    replica.liveness.watch("working", task)
    replica.liveness.watch("what is not wanted here", None)

    await replica.check_health()
    assert await replica.probe() is None
    task.cancel()


async def test_a_replica_whose_work_broke_is_replaced_and_says_by_what() -> None:
    replica, going_on = replica_of_ours(), asyncio.create_task(working())
    broken = asyncio.create_task(breaking())
    replica.liveness.watch("embedding what waits", broken)
    replica.liveness.watch("reporting", going_on)
    await ended(broken)

    with pytest.raises(RuntimeError, match="has stopped embedding what waits") as raised:
        await replica.check_health()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert await replica.probe() == "This replica has stopped embedding what waits."
    going_on.cancel()


async def test_work_that_was_cancelled_has_stopped_too() -> None:
    replica, task = replica_of_ours(), asyncio.create_task(working())
    replica.liveness.watch("working", task)
    task.cancel()
    await ended(task)

    with pytest.raises(RuntimeError, match="has stopped working"):
        await replica.check_health()
