"""Whom a query speaks of: by name, as I, as you."""

from time import thread_time

import pytest

from deployments.schemas.messages import Role
from deployments.search.ranking.speakers import Speakers


def is_named(query: str, name: str) -> bool:
    return Speakers(query, [name]).spoke(Role.USER, name)


def role_of(query: str) -> Role | None:
    speakers = Speakers(query, [])
    roles = [role for role in Role if speakers.spoke(role, None)]
    assert len(roles) <= 1
    return roles[0] if roles else None


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("What does Ida like?", "Ida"),
        ("what does ida like", "Ida"),
        ("WHAT DOES IDA LIKE", "ida"),
        ("What does Ida like?", "Ida Berg"),
        ("What does Ida Berg like?", "Ida Berg"),
        ("What does Ida like?", "  Ida  Berg "),
        ("Ida", "Ida"),
        ("(Ida)", "Ida"),
        ("Ida, what was it?", "Ida"),
        ("What is Ida's job?", "Ida"),
        ("What is Ida\u2019s job?", "Ida"),
        ("What are James' plans?", "James"),
        ("What does qu'Ida mean?", "Ida"),
        ("What did D'Angelo say?", "D'Angelo"),
        ("What is D\u2019Angelo's car?", "D'Angelo Russell"),
        ("What does Anna say?", "Anna-Maria"),
        ("What does Stra\u00dfer say?", "STRASSER"),
        ("What does Jose\u0301 say?", "Jos\u00e9"),
        ("What does \uff29\uff44\uff41 say?", "Ida"),
        ("what did alice want", "alice@example.com"),
        ("what did alice_1 want", "alice_1"),
        ("Что говорит Анна?", "Анна Петрова"),
        ("ماذا قالت ليلى", "ليلى"),
        ("\u0394\u03af\u03c9\u03bd;", "\u0394\u03af\u03a9\u03bd"),
        ("नेहा ने क्या कहा", "नेहा शर्मा"),
        ("小明昨天说了什么", "小明"),
        ("田中さんは何と言った", "田中 太郎"),
        ("지민은 뭐라고 했어", "지민"),
        ("มานีพูดว่าอะไร", "มานี"),
    ],
)
def test_a_name_is_recognised(query: str, name: str) -> None:
    assert is_named(query, name)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("What did she also say?", "Al"),
        ("What was formal?", "Al"),
        ("What does Ida like?", "Id"),
        ("What do Idaho's farmers grow?", "Ida"),
        ("What does Berg like?", "Ida Berg"),  # a family name alone is not enough
        ("Whom does the team know?", "Ida"),
        ("Don't you know?", "Don"),
        ("I'd like to know", "D'Angelo"),
        ("What's Ida's job?", "S. Lee"),
        ("What doesn't she like?", "T'Challa"),
        ("नीता ने क्या कहा", "नेहा"),
        ("ने क्या", "न"),
        ("李小明说了什么", "小"),  # one sign alone is part of too many words
        ("What does Ida like?", "..."),
        ("...", "..."),
        ("What does Ida like?", "\N{GRINNING FACE}"),
        ("What does Ida like?", ""),
    ],
)
def test_what_is_not_the_name_is_not_taken_for_it(query: str, name: str) -> None:
    assert not is_named(query, name)


def test_two_can_be_named() -> None:
    speakers = Speakers("Did Ida and Bo's brother meet?", ["Ida", "Bo Lund", "Eve", None])

    assert [speakers.spoke(Role.USER, name) for name in ("Ida", "Bo Lund", "Eve")] == [True, True, False]


def test_all_of_one_first_name_are_meant() -> None:
    speakers = Speakers("What does Ida like?", ["Ida Berg", "Ida Lund"])

    assert speakers.spoke(Role.USER, "Ida Berg")
    assert speakers.spoke(Role.ASSISTANT, "Ida Lund")


def test_who_never_spoke_is_not_named() -> None:
    assert not Speakers("What does Ida like?", ["Bo"]).spoke(Role.USER, "Ida")


@pytest.mark.parametrize(
    ("query", "role"),
    [
        ("What did I say of Rust?", Role.USER),
        ("where do i live", Role.USER),
        ("I'm where?", Role.USER),
        ("What is my dog's name?", Role.USER),
        ("Was it mine?", Role.USER),
        ("What happened to me?", Role.USER),
        ("Did I do it myself?", Role.USER),
        ("What did you say?", Role.ASSISTANT),
        ("What did you recommend?", Role.ASSISTANT),
        ("Which of the books you've suggested was it?", Role.ASSISTANT),
        ("What was the recipe you gave?", Role.ASSISTANT),
        ("What was your advice?", Role.ASSISTANT),
        ("Which hotels did YOU LIST?", Role.ASSISTANT),
        ("Remind me of the hotel that you mentioned", Role.ASSISTANT),
        ("Remind me what I said", Role.USER),
        ("Can you recommend a hotel I'd like?", Role.USER),
        ("Can you tell me where I live?", Role.USER),
        ("In our last conversation, which book was it?", None),
        ("Where does she live?", None),
        ("What is AI?", None),
        ("Is it in the mine shaft of Miami?", Role.USER),  # "mine" is, here, none; no list of words can tell
        ("How are you?", None),
        ("Do you know Rust?", None),
        ("What was said of youth?", None),
        ("", None),
        ("?!", None),
    ],
)
def test_i_is_the_user_and_you_who_said_something_is_the_assistant(query: str, role: Role | None) -> None:
    assert role_of(query) is role


@pytest.mark.parametrize(
    "query", ["What did you tell me?", "Which book did you recommend to me when I asked?", "What have you told me?"]
)
def test_where_both_are_spoken_of_it_is_the_assistant_who_said_it(query: str) -> None:
    assert role_of(query) is Role.ASSISTANT


@pytest.mark.parametrize("query", ["What did I say?", "What did you say?"])
def test_i_and_you_are_nobody_with_a_name(query: str) -> None:
    speakers = Speakers(query, ["Ida", None])

    assert not any(speakers.spoke(role, "Ida") for role in Role)


def test_a_name_says_nothing_of_those_without_one() -> None:
    speakers = Speakers("What does Ida like?", ["Ida", None])

    assert not any(speakers.spoke(role, None) for role in Role)


@pytest.mark.parametrize(
    "unit", ["you ", "you your you've ", "a'", "i'm ", "न", "ने", "小明", "our last ", "remind ", "x", " ", "'"]
)
def test_a_query_of_a_whole_page_takes_no_time(unit: str) -> None:
    names = [f"{kind}{number} Berg" for number in range(500) for kind in ("小明", "n")]
    started = thread_time()

    Speakers((unit * 100_000)[:100_000], names)

    assert thread_time() - started < 2
