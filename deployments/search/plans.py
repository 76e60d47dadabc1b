"""The ways to the ranked messages of a search."""

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
    """Return the time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Search:
    """A search, and the HTTP request and the span that wait for it.

    `besides`: a message that is no answer and lends nothing to one: the question itself, where it is stored.
    """

    request: SearchRequest
    request_id: str | None
    trace: SpanContext | None = None
    besides: UUID | None = None


NONE_SUPERSEDED: Mapping[UUID, UUID] = MappingProxyType({})


class Ranking(NamedTuple):
    """The first messages, of how many that were scored, and whether words alone decided.

    `successors`: what supersedes the facts among them, and what supersedes that.
    """

    ranked: list[Ranked]
    scored: int
    degraded: bool
    successors: Mapping[UUID, UUID] = NONE_SUPERSEDED


class SearchPlan(Protocol):
    """Scores messages of a tenant and ranks them."""

    async def ranking(self, search: Search, question: Question, depth: int) -> Ranking | None:
        """Return the first `depth` messages. None: this tenant cannot be searched this way.

        Raises `DatabaseUnavailableError`, `OverloadedError`.
        """
        ...
