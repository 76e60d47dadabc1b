"""What says the same, or nearly: the newest comes first, and what says it word for word is put back."""

from datetime import timedelta
from time import thread_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.schemas.candidates import Candidate
from deployments.search.ranking.versions import READ_CHARACTERS, Placed, Versions, saying
from tests.unit.search.generated import GENERATED
from tests.unit.search.ranked import DAY, NOTHING, NOW, ONCE, candidate, only, order, parts, ranking, scores

WEIGHTS = only(importance=1.0, newer=1.0, diversity=1.0)


def statements(*texts: str, **fields: Any) -> list[Candidate]:
    """Of these the first is the oldest and the best, the last the newest and the least good, but nearly as good."""
    return [
        candidate(number, content=text, created_at=NOW + number * DAY, importance=0.9 - number / 1_000, **fields)
        for number, text in enumerate(texts, start=1)
    ]


def are_versions(older: str, newer: str) -> bool:
    return order(statements(older, newer), WEIGHTS) == [2, 1]


def repeated(*texts: str) -> set[int]:
    found = parts(statements(*texts), WEIGHTS)
    return {number for number, each in found.items() if each.repetition}


# Which texts are the same, nearly the same, and others.


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("I like tea", "I like tea"),
        ("I like tea", "  i LIKE\n\ttea "),
        ("I like tea", "Ｉ ｌｉｋｅ ｔｅａ"),  # noqa: RUF001 - wide letters, as Asian keyboards send them
        ("Straße", "STRASSE"),
        ("你好世界", "你好世界"),
        ("\N{GRINNING FACE}", "\N{GRINNING FACE}\n"),
        ("", " \n"),
    ],
)
def test_the_same_said_again_is_put_back(older: str, newer: str) -> None:
    assert saying("Ida", older) == saying("Ida", newer)
    assert order(statements(older, newer), WEIGHTS) == [2, 1]
    assert repeated(older, newer) == {1}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("I live in Porto.", "I live in Braga."),
        ("Order 4021 was shipped to Porto", "Order 4022 was shipped to Porto"),
        ("My sister Ida likes tea", "My sister Ada likes tea"),
        ("I eat fish", "I do not eat fish"),
        ("I like tea", "I like tea!"),
        ("我住在上海", "我住在北京"),
        ("저는 서울에 살아요", "저는 부산에 살아요"),
    ],
)
def test_of_two_that_are_nearly_the_same_the_newer_comes_first_and_none_is_put_back(older: str, newer: str) -> None:
    assert are_versions(older, newer)
    assert repeated(older, newer) == set()
    assert set(scores(statements(older, newer), WEIGHTS).values()) == {
        each.importance for each in statements(older, newer)
    }


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("I live in Porto.", "My sister moved to Braga."),
        ("!!!", "???"),
        ("", "tea"),
        ("\N{GRINNING FACE}", "\N{PARTY POPPER}"),
        ("我住在上海", "他喜欢北京烤鸭"),
    ],
)
def test_other_texts_stay_as_they_score(older: str, newer: str) -> None:
    assert not are_versions(older, newer)
    assert repeated(older, newer) == set()


def test_what_holds_other_words_of_the_query_is_of_another_subject() -> None:
    lives, works = statements("I live in Porto", "I work in Porto", ranks=(ONCE, 0.0))

    assert order([lives, works], WEIGHTS) == [2, 1]
    assert order([lives, works._replace(ranks=(0.0, ONCE))], WEIGHTS) == [1, 2]


def test_which_stop_words_of_the_query_it_holds_does_not_matter() -> None:
    first, second = statements("I live in Porto", "I live near Porto", ranks=(ONCE, 0.0))

    assert order([first, second._replace(ranks=(ONCE, ONCE))], WEIGHTS, term_weights=(1.0, 0.2)) == [2, 1]


# Who says it.


@pytest.mark.parametrize(
    ("one", "other"), [({"name": "Ida"}, {"name": "Bo"}), ({"role": "user"}, {"role": "assistant"})]
)
@pytest.mark.parametrize("text", ["I live in Porto", "I live in Braga"])
def test_what_another_says_is_no_version(text: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = statements("I live in Porto", text)

    found = ranking([first._replace(**one), second._replace(**other)], WEIGHTS)

    assert [each.candidate.id.int for each in found] == [1, 2]
    assert {each.parts.repetition for each in found} == {0.0}


def test_eight_guests_with_the_same_allergy_all_stay() -> None:
    names = ["Ana", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hal"]
    guests = statements(*(f"{name} is allergic to nuts" for name in names))
    other = candidate(99, importance=0.5)

    found = order([*guests, other], WEIGHTS, 9)

    assert found == [8, 7, 6, 5, 4, 3, 2, 1, 99]


def test_facts_that_were_corrected_come_newest_first_each_by_its_subject() -> None:
    old = ["I live in Porto", "My cat is called Mia", "I work at Acme"]
    new = ["I live in Braga", "My cat is called Leo", "I work at Initech"]

    found = order(statements(*old, *new), WEIGHTS)

    assert all(found.index(number + 3) < found.index(number) for number in (1, 2, 3))


# How much age decides.


def test_an_older_one_that_answers_much_better_stays_first() -> None:
    older = candidate(1, content="I live in Porto", importance=0.9, created_at=NOW - DAY)
    newer = candidate(2, content="I live in Braga", importance=0.3)

    assert order([older, newer], WEIGHTS) == [1, 2]
    assert scores([older, newer], WEIGHTS) == {1: 0.9, 2: 0.3}


def test_three_versions_share_their_scores_by_age() -> None:
    ages = {1: (0.80, 1), 2: (0.90, 3), 3: (0.85, 2)}
    candidates = [
        candidate(number, content=f"I live in city{number}", importance=value, created_at=NOW - age * DAY)
        for number, (value, age) in ages.items()
    ]

    assert scores(candidates, WEIGHTS) == pytest.approx({1: 0.90, 3: 0.85, 2: 0.80})


@pytest.mark.parametrize(("newer", "share"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (100.0, 1.0)])
def test_the_weight_says_how_much_of_the_others_score_the_newer_gets(newer: float, share: float) -> None:
    texts = statements("I live in Porto", "I live in Braga")
    best, least = (each.importance or 0.0 for each in texts)

    found = scores(texts, only(importance=1.0, newer=newer))

    assert found[2] == pytest.approx(least + share * (best - least))
    assert found[1] == pytest.approx(best - share * (best - least))


@pytest.mark.parametrize(("diversity", "left"), [(0.0, 1.0), (0.25, 0.75), (1.0, 0.0), (100.0, 0.0)])
def test_a_repetition_is_put_back_by_the_weight(diversity: float, left: float) -> None:
    found = ranking(statements("I like tea", "I like tea"), only(importance=1.0, newer=1.0, diversity=diversity))

    assert [each.candidate.id.int for each in found] == [2, 1]
    assert found[0].parts.repetition == 0
    assert found[1].score == pytest.approx(left * 0.898)


def test_without_weights_for_them_versions_stay_as_they_score() -> None:
    texts = statements("I like tea", "I like tea", "I like oats")

    assert order(texts, only(importance=1.0)) == [1, 2, 3]
    assert all(each.parts[-2:] == (0, 0) for each in ranking(texts, NOTHING))


# However many, however long, in whatever order.


@pytest.mark.parametrize("count", [2, 200])
def test_however_many_say_the_same_the_others_come_before_their_second(count: int) -> None:
    others = [candidate(1_000 + number, importance=number / 10) for number in (1, 2, 3)]

    found = order([*statements(*["The lamp was shipped"] * count), *others], WEIGHTS, 5)

    assert found[:4] == [count, 1_003, 1_002, 1_001]


def test_a_newer_version_is_found_behind_the_last_hit() -> None:
    old, *others, new = statements("I live in Porto", "the tea is cold", "my cat sleeps", "I live in Braga")

    assert order([old, *others, new], WEIGHTS, 1) == [4]


def test_long_texts_are_the_same_only_as_a_whole() -> None:
    head = "word " * READ_CHARACTERS

    assert are_versions(head + "one", head + "two")
    assert repeated(head + "one", head + "two") == set()
    assert repeated(head + "one", head + "one") == {1}


def test_a_page_of_the_longest_texts_is_compared_in_no_time() -> None:
    texts = [" ".join(f"w{number * each}" for number in range(12_000)) for each in range(1, 101)]
    candidates = statements(*texts)
    started = thread_time()

    assert len(order(candidates, WEIGHTS)) == 100

    assert thread_time() - started < 3


def test_each_is_placed_once() -> None:
    versions = Versions()
    texts = ["I like tea", "I like tea", "I like oats", "the cat sleeps"]
    for place, each in enumerate(statements(*texts)):
        versions.add(place, each, each.importance or 0.0, b"")

    placed = list(versions.placed())

    assert versions.distinct == 3
    assert sorted(each.place for each in placed) == [0, 1, 2, 3]
    assert placed[0] == Placed(2, 0.899, repeats=False)
    assert [each.place for each in placed if each.repeats] == [0]


@GENERATED
@given(
    texts=st.lists(st.sampled_from(["I like tea", "I like oats", "You like tea", "a b c"]), max_size=8),
    minutes=st.lists(st.integers(0, 3), min_size=8, max_size=8),
    data=st.data(),
)
def test_the_order_of_the_candidates_does_not_matter(texts: list[str], minutes: list[int], data: st.DataObject) -> None:
    candidates = [
        each._replace(created_at=NOW + timedelta(minutes=minute))
        for each, minute in zip(statements(*texts), minutes, strict=False)
    ]

    assert scores(data.draw(st.permutations(candidates)), WEIGHTS) == scores(candidates, WEIGHTS)


def test_a_question_is_no_version_of_its_answer() -> None:
    candidates = [
        candidate(1, content="I live in Porto", created_at=NOW - DAY, closeness=0.9),
        candidate(2, content="Where do I live?", created_at=NOW, closeness=0.85),
    ]

    assert order(candidates, only(similarity=1.0, newer=1.0)) == [1, 2]
