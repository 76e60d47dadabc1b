"""Properties of contexts, whatever the messages and the budget."""

import random
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.schemas.candidates import Turn
from deployments.schemas.search import SearchHit
from deployments.search.context.tokens import count_tokens
from tests.unit.search.contexts import START, context, hit, numbers, turn

WORDS = [
    "I",
    "love",
    "Lisbon",
    "apples,",
    "2026",
    "北京很大",
    "🙂👍",
    "def f(x):",
    "\n",
    "Ünïcode",
    "yes",
    "http://a.b/c?d=1",
]


def anything(random_: random.Random, number: int, conversation_id: str) -> Turn:
    content = " ".join(random_.choices(WORDS, k=random_.choice([1, 3, 10, 40])))
    return turn(
        number,
        content,
        conversation_id=conversation_id,
        name=random_.choice([None, "Ada", "Bob"]),
        created_at=START + timedelta(hours=random_.randrange(200)),
    )


def any_context(seed: int) -> tuple[list[Turn], list[SearchHit], dict[str, Any]]:
    """Some recent turns, some hits (recent turns among them) with neighbors, some wishes."""
    random_ = random.Random(seed)
    recent = [anything(random_, number, "now") for number in range(random_.randrange(12))]
    found = [anything(random_, 100 + number, random_.choice("abc")) for number in range(random_.randrange(12))]
    found += random_.sample(recent, len(recent) // 3)
    random_.shuffle(found)
    hits = [
        hit(
            each.id.int,
            each.content,
            random_.random(),
            around=random_.sample([other for other in found if other.conversation_id == each.conversation_id], 1),
            conversation_id=each.conversation_id,
            name=each.name,
            created_at=each.created_at,
        )
        for each in found
    ]
    return recent, hits, {"recent_share": random_.random(), "top_k": random_.randrange(15)}


def test_whatever_comes_the_budget_holds_and_each_comes_once_in_time_order() -> None:
    for seed in range(60):
        recent, hits, wishes = any_context(seed)
        whole = context(recent, hits, **wishes)
        for budget in (0, 1, 2, 5, 10, 15, 20, 30, 50, 80, 130, 200, 400, whole.tokens_used, whole.tokens_used + 1):
            answer = context(recent, hits, budget, **wishes)

            assert answer.tokens_used == count_tokens(answer.text) <= budget
            assert len({item.message_id for item in answer.items}) == len(answer.items)
            order = [(item.created_at, item.message_id) for item in answer.items]
            assert order == sorted(order)
            assert all(item.reasons for item in answer.items)
            assert len(answer.items) + answer.omitted == len(whole.items)
        assert context(recent, hits, whole.tokens_used, **wishes) == whole.model_copy(
            update={"token_budget": whole.tokens_used}
        )


TEXTS = (
    st.lists(st.sampled_from([*WORDS, "x" * 900, "\U0001f1e9\U0001f1ea", "e\u0301"]), min_size=1)
    .map(" ".join)
    .filter(str.strip)
)
# Repeated in the test: hypothesis warns of examples whose repr is longer than 100 kB.
LONG_TEXTS = st.tuples(TEXTS, st.integers(1, 60))


@given(st.lists(LONG_TEXTS, min_size=1, max_size=4), st.lists(LONG_TEXTS, max_size=4), st.integers(60, 3_000))
@settings(max_examples=30, deadline=None)
def test_whatever_is_long_the_newest_turn_is_there_and_no_half_is_empty(
    turns: list[tuple[str, int]], memories: list[tuple[str, int]], budget: int
) -> None:
    recent = [turn(number + 10, f"{text} " * times) for number, (text, times) in enumerate(turns)]
    found = [hit(number, f"{text} " * times) for number, (text, times) in enumerate(memories)]
    query = recent[-1].content

    answer = context(recent, found, budget, query=query)

    assert answer.tokens_used == count_tokens(answer.text) <= budget
    newest = answer.items[-1]
    assert newest.message_id == recent[-1].id
    assert newest.content.strip()[0] == query.strip()[0]
    assert newest.content.strip()[-1] == query.strip()[-1]
    assert numbers(answer) == sorted(numbers(answer))
    cut = any(item.truncated for item in answer.items)
    assert 2 * answer.tokens_used >= budget or not (cut or answer.omitted)
