"""A search and a context look among the same messages, by the same criteria."""

from datetime import UTC, datetime

from deployments.schemas.context import ContextRequest
from deployments.schemas.search import Criteria, SearchRequest
from deployments.search.context.assembler import to_search

CHOSEN = {
    "tenant_id": "acme",
    "role": "user",
    "user_id": "ada",
    "agent_id": "helper",
    "conversation_prefix": "team/",
    "where": {"priority": {"gte": 4}},
    "min_importance": 0.1,
    "refresh_ttl": True,
    "created_after": "2026-01-01T00:00:00Z",
    "created_before": "2026-02-01T00:00:00Z",
    "include_archived": True,
    "kinds": ["fact"],
    "as_of": "2026-01-20T00:00:00Z",
    "min_score": 0.2,
    "min_similarity": 0.3,
    "metadata": {"a": 1},
    "weights": {"words": 2},
    "asked_at": "2026-01-15T12:00:00+02:00",
    "language": "de",
    "neighbors": 2,
}
# Of these, a context makes the search's own.
OTHERWISE = {"query", "top_k", "conversation_id"}


def test_what_both_take_is_declared_once() -> None:
    both = SearchRequest.model_fields.keys() & ContextRequest.model_fields.keys()

    assert both - OTHERWISE == set(Criteria.model_fields) == set(CHOSEN)


def test_a_context_searches_by_all_of_it() -> None:
    request = ContextRequest.model_validate({**CHOSEN, "conversation_id": "c1"})

    searched = to_search(request, "Which fruit?")

    same = SearchRequest.model_validate({**CHOSEN, "query": "Which fruit?", "top_k": searched.top_k})
    assert searched.model_dump(exclude={"facts_hold_at"}) == same.model_dump()


def test_a_context_takes_the_facts_that_hold_when_it_is_asked() -> None:
    asked_at = "2026-01-15T12:00:00Z"
    request = ContextRequest.model_validate({"tenant_id": "acme", "conversation_id": "c1", "asked_at": asked_at})
    as_of = request.model_copy(update={"as_of": datetime(2026, 1, 1, tzinfo=UTC)})

    assert to_search(request, "Which fruit?").facts_as_of == request.asked_at
    assert to_search(as_of, "Which fruit?").facts_as_of == as_of.as_of
    assert SearchRequest(tenant_id="acme", query="Which fruit?").facts_as_of is None
