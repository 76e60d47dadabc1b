"""What crosses together is answered apart: in order, each with its own error and its own id on its log lines."""

import asyncio
from dataclasses import dataclass

import structlog
from opentelemetry.trace import SpanContext

from deployments.errors import DatabaseUnavailableError, MemoryLayerError
from deployments.search.side_by_side import side_by_side


@dataclass(frozen=True)
class Work:
    """So long it takes, and for whom."""

    seconds: float
    request_id: str | None
    trace: SpanContext | None = None


async def slept(work: Work) -> str:
    """The id that log lines would have, once the time is over."""
    await asyncio.sleep(work.seconds)
    bound = structlog.contextvars.get_contextvars()
    return str(bound["request_id"])


async def test_answers_come_in_order_whichever_is_ready_first() -> None:
    works = [Work(0.02, "a"), Work(0.0, "b"), Work(0.01, None)]

    assert await side_by_side(works, slept, "nap") == ["a", "b", "None"]


async def test_an_error_belongs_to_one_alone() -> None:
    async def answer(work: Work) -> str:
        if work.request_id == "away":
            raise DatabaseUnavailableError("Away.")
        if work.request_id == "broken":
            raise ZeroDivisionError
        return await slept(work)

    first, away, broken, last = await side_by_side(
        [Work(0, each) for each in ("a", "away", "broken", "b")], answer, "nap"
    )

    assert (first, last) == ("a", "b")
    assert isinstance(away, DatabaseUnavailableError)
    assert isinstance(broken, MemoryLayerError)
    assert (broken.code, broken.message) == ("internal_error", "The nap failed.")


async def test_nothing_is_answered_with_nothing() -> None:
    assert await side_by_side([], slept, "nap") == []
