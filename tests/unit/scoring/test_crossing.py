"""Messages on their way to Scoring: bounded by bytes, and scored as if they had come whole."""

import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.schemas.messages import MAX_CONTENT_CHARACTERS
from deployments.scoring.crossing import calls
from deployments.scoring.importance import importance
from deployments.scoring.scorable import Scorable

CLAIM = 128
RAYS_LIMIT_BYTES = 4 * 1024 * 1024

contents = st.builds(
    lambda text, times: (text * times)[:MAX_CONTENT_CHARACTERS],
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.sampled_from([1, 300, MAX_CONTENT_CHARACTERS]),
)
messages = st.lists(st.builds(Scorable, st.just("user"), contents, st.none() | st.just("😀" * 255)), max_size=CLAIM)


def score(message: Scorable) -> float:
    return importance(role=message.role, content=message.content, name=message.name)


@settings(deadline=None, max_examples=25)
@given(messages)
def test_each_call_is_within_rays_limit_and_scores_stay(claimed: list[Scorable]) -> None:
    crossing = list(calls(claimed))

    assert all(len(pickle.dumps(call)) < RAYS_LIMIT_BYTES for call in crossing)
    assert [score(each) for call in crossing for each in call] == [score(each) for each in claimed]


def test_a_claim_of_the_largest_messages_takes_few_calls_and_an_ordinary_one_takes_one() -> None:
    largest = Scorable("assistant", "😀" * MAX_CONTENT_CHARACTERS, "😀" * 255)
    ordinary = Scorable("user", "I moved to Lisbon in May. " * 40, "Ada")

    crossing = list(calls([largest] * CLAIM))
    assert len(crossing) == 3
    assert all(len(pickle.dumps([pickle.dumps(each) for each in call])) < RAYS_LIMIT_BYTES for call in crossing)
    assert len(list(calls([ordinary] * CLAIM))) == 1
