"""Facts in a context: under a heading of their own, before the messages, within the budget."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.schemas.context import ContextAnswer
from deployments.schemas.facts import FactDetails, Kind
from deployments.schemas.search import SearchHit
from deployments.search.context.tokens import count_tokens
from tests.unit.search.contexts import context, hit, turn

SINCE = datetime(2025, 6, 1, tzinfo=UTC)
TEXTS = st.text(st.sampled_from("ab \n[]:-é"), min_size=1, max_size=120).filter(str.strip)


def fact(number: int, content: str, subject: str | None = None) -> SearchHit:
    """A hit that is a fact, which was stored so many minutes after noon."""
    details = FactDetails(subject=subject, source_ids=[], valid_from=SINCE, valid_to=None, superseded_by=None)
    return hit(number, content, name=subject, conversation_id="", fact=details)


def kinds(answer: ContextAnswer) -> list[Kind]:
    return [item.kind for item in answer.items]


def test_facts_stand_before_messages_of_any_time() -> None:
    answer = context([turn(1, "Hello")], [fact(9, "Likes tea", "Ada"), hit(2, "I like tea"), fact(3, "All is well")])

    assert answer.text == (
        "[Facts]\n- since 2025-06-01: All is well\n- Ada, since 2025-06-01: Likes tea\n"
        "[2026-01-01, this conversation]\nuser: Hello\n[2026-01-01]\nuser: I like tea"
    )
    assert [item.fact is not None for item in answer.items] == [True, True, False, False]


@given(
    st.lists(st.tuples(st.integers(1, 9), TEXTS), max_size=4),
    st.lists(st.tuples(st.integers(1, 9), TEXTS, st.none() | TEXTS), max_size=4),
    st.integers(0, 200),
)
@settings(max_examples=100, deadline=None)
def test_a_context_with_facts_keeps_its_budget_and_its_order(
    said: list[tuple[int, str]], known: list[tuple[int, str, str | None]], budget: int
) -> None:
    turns = [turn(100 * place + minute, content) for place, (minute, content) in enumerate(said)]
    facts = [fact(1_000 + 100 * place + minute, text, of) for place, (minute, text, of) in enumerate(known)]

    answer = context(turns, facts, budget, query="a b")

    assert answer.tokens_used == count_tokens(answer.text) <= budget
    assert kinds(answer) == sorted(kinds(answer))
    for kind in Kind:
        times = [item.created_at for item in answer.items if item.kind is kind]
        assert times == sorted(times)
    assert answer.text.startswith("[Facts]\n- ") == (Kind.FACT in kinds(answer))
