"""The interface of search plans, and the types that they share with the engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias
from uuid import UUID

from opentelemetry.trace import SpanContext

from deployments.schemas.search import SearchRequest
from deployments.search.ranking.ordering import Ranked
from deployments.search.ranking.parts import Question

Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Search:
    """A search with the id and the span of its HTTP request.

    `besides`: a message that is excluded as a hit and as a neighbor, such as the stored question itself.
    """

    request: SearchRequest
    request_id: str | None
    trace: SpanContext | None = None
    besides: UUID | None = None


NONE_SUPERSEDED: Mapping[UUID, UUID] = MappingProxyType({})


class Ranking(NamedTuple):
    """The best messages, and how the search found them.

    `scored`: how many messages were scored. `degraded`: only words were compared, no vectors. `successors`: the id of
    the fact that supersedes each ranked fact, followed transitively.
    """

    ranked: list[Ranked]
    scored: int
    degraded: bool
    successors: Mapping[UUID, UUID] = NONE_SUPERSEDED


class SearchPlan(Protocol):
    """Scores messages of a tenant and ranks them."""

    async def ranking(self, search: Search, question: Question, depth: int) -> Ranking | None:
        """Return the best `depth` messages, or None if this plan cannot search the tenant.

        Raises `DatabaseUnavailableError`, `OverloadedError`.
        """
        ...
