"""What crossed to this replica as one call, answered one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import structlog

from deployments.errors import MemoryLayerError

logger = structlog.get_logger(__name__)


class Traced(Protocol):
    """A piece of work that knows the HTTP request it belongs to."""

    @property
    def request_id(self) -> str | None:
        """The request's id, for the logs."""


Work = TypeVar("Work", bound=Traced)
Answer = TypeVar("Answer")


async def side_by_side(
    works: Sequence[Work], answer: Callable[[Work], Awaitable[Answer]], name: str
) -> list[Answer | MemoryLayerError]:
    """Answer all at once; each has its own answer or its own error, in order, and its id on its log lines.

    `name`: what is done, as the log lines and the message of an unforeseen error say it.
    """
    return list(await asyncio.gather(*(_answer_or_error(work, answer, name) for work in works)))


async def _answer_or_error(
    work: Work, answer: Callable[[Work], Awaitable[Answer]], name: str
) -> Answer | MemoryLayerError:
    with structlog.contextvars.bound_contextvars(request_id=work.request_id):
        try:
            return await answer(work)
        except MemoryLayerError as error:
            logger.warning("not_answered", asked=name, code=error.code, reason=error.message)
            return error
        except Exception:
            # A fault of ours in one is not to fail those that crossed with it.
            logger.exception("answer_broke", asked=name)
            return MemoryLayerError(f"The {name} failed.")
