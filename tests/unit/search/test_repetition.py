"""What says again what was said: the share of words in common, from 0.8."""

import random
import re
from collections.abc import Sequence
from time import perf_counter

import pytest
from deployments.search.repetition import ALIKE, READ_CHARACTERS, repetitions


def said_again(*texts: str) -> list[float]:
    return list(repetitions(texts))


def words(*numbers: int) -> str:
    return " ".join(f"w{number}" for number in numbers)


def by_sets(texts: Sequence[str]) -> list[float]:
    new: list[set[str]] = []
    shares = []
    for text in texts:
        words = set(re.findall(r"\w+", text.casefold())) or {text.strip()}
        most = max((len(words & other) / len(words | other) for other in new), default=0.0)
        shares.append(most if most >= ALIKE else 0.0)
        new += [words] if most < ALIKE else []
    return shares


def test_nothing_repeats_nothing() -> None:
    assert said_again() == []


def test_the_first_never_repeats() -> None:
    assert said_again("the same") == [0]
    assert said_again("the same", "the same", "the same") == [0, 1, 1]


@pytest.mark.parametrize(
    ("earlier", "text", "share"),
    [
        (range(5), range(4), 0.8),
        (range(4), range(5), 0.8),
        (range(9), range(1, 10), 0.8),
        (range(10), range(10), 1.0),
        (range(10), range(9), 0.9),
        (range(24), range(19), 0.0),  # 0.792
        (range(9), range(2, 10), 0.0),  # 0.7
        (range(4), range(3), 0.0),
        (range(5), range(5, 10), 0.0),
        (range(1), range(1, 2), 0.0),
    ],
)
def test_a_text_repeats_one_from_eight_tenths_of_words_in_common(earlier: range, text: range, share: float) -> None:
    assert said_again(words(*earlier), words(*text)) == pytest.approx([0, share])


def test_the_earlier_text_that_has_the_most_in_common_counts() -> None:
    assert said_again(words(*range(10)), words(*range(3, 13)), words(*range(1, 11)), "other") == (
        pytest.approx([0, 0, 9 / 11, 0])
    )


def test_what_repeats_is_nothing_to_be_repeated() -> None:
    assert said_again(words(*range(10)), words(*range(9)), words(*range(8)), words(*range(7))) == (
        pytest.approx([0, 0.9, 0.8, 0])
    )


def test_a_text_is_read_only_when_it_is_asked_for() -> None:
    shares = repetitions(iter(["a", "a"]))

    assert (next(shares), next(shares), next(shares, None)) == (0, 1, None)


def test_only_what_is_earlier_counts() -> None:
    long, short = words(*range(10)), words(*range(9))

    assert said_again(long, "other", short) == pytest.approx([0, 0, 0.9])
    assert said_again(short, "other", long) == pytest.approx([0, 0, 0.9])
    assert said_again("other", long) == [0, 0]


@pytest.mark.parametrize(
    ("earlier", "text"),
    [
        ("I like tea", "i LIKE tea!"),
        ("I like tea", "tea, like I"),
        ("I like tea", "I like\ttea, tea, tea"),
        ("Straße", "STRASSE"),
        ("!!!", " !!! "),
        ("\N{GRINNING FACE}", "\N{GRINNING FACE}\n"),
        ("", ""),
        ("", " \n"),
        ("你好世界", "你好世界"),
    ],
)
def test_case_order_number_and_punctuation_of_words_do_not_matter(earlier: str, text: str) -> None:
    assert said_again(earlier, text) == [0, 1]


@pytest.mark.parametrize(
    ("earlier", "text"),
    [
        ("", "tea"),
        ("tea", ""),
        ("", "..."),
        ("!!!", "???"),
        ("\N{GRINNING FACE}", "\N{PARTY POPPER}"),
        ("\N{GRINNING FACE}", "\N{GRINNING FACE} tea"),
        ("I like tea", "I like coffee"),
    ],
)
def test_other_words_or_none_are_no_repetition(earlier: str, text: str) -> None:
    assert said_again(earlier, text) == [0, 0]


def test_a_template_filled_with_another_number_is_one() -> None:
    filled = "Order {} of the blue lamp was shipped to the usual address and will come on Friday"

    assert said_again(filled.format(17), filled.format(18))[1] > ALIKE


@pytest.mark.parametrize("seed", range(50))
def test_it_is_what_sets_of_words_have_in_common(seed: int) -> None:
    rng = random.Random(seed)
    texts = [
        rng.choice(["", " ", "!"]).join(["", *rng.choices(["a ", "b ", "c ", "D ", "e,", "f."], k=rng.randint(0, 9))])
        for _ in range(rng.randint(1, 15))
    ]

    assert said_again(*texts) == by_sets(texts)


def test_the_texts_are_read_only_so_far() -> None:
    head = "word " * (READ_CHARACTERS // 5)

    assert said_again(head + words(*range(100)), head + words(*range(100, 200))) == [0, 1]
    assert said_again(head[5:] + "one", head[5:] + "two") == [0, 0]


def test_a_page_of_the_longest_texts_is_compared_in_no_time() -> None:
    rng = random.Random(0)
    vocabulary = [f"w{number}" for number in range(20_000)]
    page = " ".join(rng.choices(vocabulary, k=17_000))
    texts = [page[start : start + 90_000] for start in range(300)]
    started = perf_counter()

    assert len(said_again(*texts)) == 300

    assert perf_counter() - started < 3
