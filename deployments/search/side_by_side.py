"""Answers the requests of one batched call concurrently, each in the trace of its own HTTP request."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import structlog
from opentelemetry.trace import SpanContext
from pydantic import BaseModel

from deployments.errors import MemoryLayerError
from deployments.runtime.json_bytes import json_of
from deployments.tracing.spans import BATCH_SIZE, note_error, served

logger = structlog.get_logger(__name__)


class Asked(Protocol):
    """A work item that carries its HTTP request's id and trace."""

    @property
    def request_id(self) -> str | None:
        """Return the HTTP request's id, for the logs."""

    @property
    def trace(self) -> SpanContext | None:
        """Return the span that waits for the answer."""


Work = TypeVar("Work", bound=Asked)
Answer = TypeVar("Answer")


async def side_by_side(
    works: Sequence[Work], answer: Callable[[Work], Awaitable[Answer]], name: str
) -> list[Answer | MemoryLayerError]:
    """Answer all items concurrently. Return one answer or one error for each, in order.

    Log lines carry the request id of their item. `name`: the operation, for log lines and unexpected errors.
    """
    return list(await asyncio.gather(*(_answer_or_error(work, answer, name, len(works)) for work in works)))


def to_json(results: Sequence[BaseModel | MemoryLayerError]) -> list[bytes | MemoryLayerError]:
    """Return each answer as JSON for its client. Errors are returned unchanged.

    Ingress unpickles ten hits in 1 us as bytes, but in 45 us as models with UUIDs and times, which it then has to
    serialize.
    """
    return [each if isinstance(each, MemoryLayerError) else json_of(each) for each in results]


async def _answer_or_error(
    work: Work, answer: Callable[[Work], Awaitable[Answer]], name: str, together: int
) -> Answer | MemoryLayerError:
    with (
        structlog.contextvars.bound_contextvars(request_id=work.request_id),
        served(f"Search.{name}", work.trace, {BATCH_SIZE: together}),
    ):
        try:
            return await answer(work)
        except MemoryLayerError as error:
            note_error(error)
            logger.warning("not_answered", asked=name, code=error.code, reason=error.message)
            return error
        except Exception as error:
            # A bug in one item must not fail the other items of the batch.
            note_error(error)
            logger.exception("answer_broke", asked=name)
            return MemoryLayerError(f"The {name} failed.")
