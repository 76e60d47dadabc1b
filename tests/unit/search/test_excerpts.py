"""A text is cut to the room that there is: in its middle, or around what is asked for."""

import random

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.analysis.languages import ENGLISH
from deployments.schemas.messages import MAX_CONTENT_CHARACTERS
from deployments.search.context.excerpts import MARK, Passages, cut_middle
from deployments.search.context.tokens import HUNDREDTHS, weigh

SENTENCE = "Nothing of note happened on that day. "
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
FLAG = "\U0001f1e9\U0001f1ea"


def passage(text: str, query: str, tokens: int = 60) -> str:
    cut = Passages(query, (ENGLISH,)).cut(text, tokens * HUNDREDTHS)
    assert weigh(cut) <= tokens * HUNDREDTHS
    return cut


def test_what_fits_is_whole() -> None:
    text = "One. Two."

    assert cut_middle(text, weigh(text)) == passage(text, "two") == text


def test_the_middle_is_cut_between_sentences() -> None:
    cut = cut_middle(f"Why does it stall? {SENTENCE * 100}Please tell me.", 400 * HUNDREDTHS)

    assert cut.startswith("Why does it stall? ")
    assert cut.endswith(" Please tell me.")
    assert {part.strip()[-1] for part in cut.split(MARK)} == {"."}


def test_words_stay_whole_where_no_sentence_ends() -> None:
    words = [f"word{number}" for number in range(500)]

    head, tail = cut_middle(" ".join(words), 100 * HUNDREDTHS).split(MARK)

    assert {*head.split(), *tail.split()} <= set(words)


def test_no_room_is_empty() -> None:
    assert cut_middle("a long text", 0) == passage("a long text", "text", 0) == ""


@pytest.mark.parametrize(
    ("query", "there"),
    [
        ("What is the safe word?", "The safe word is marmalade."),
        ("marmalades", "The safe word is marmalade."),
        ("\u9f99\u4e95", "\u6211\u4f4f\u5728\u676d\u5dde\uff0c\u6700\u559c\u6b22\u559d\u9f99\u4e95\u8336\u3002"),
        (
            "\u0430\u0440\u0431\u0443\u0437",
            "\u041c\u043d\u0435 \u043d\u0440\u0430\u0432\u0438\u0442\u0441\u044f \u0430\u0440\u0431\u0443\u0437.",
        ),
        ("cafe", "We met at the Caf\u00e9 Aurore."),
        ("harborlight", "Mail priya.nair@harborlight.example for invoices."),
    ],
)
def test_the_passage_holds_what_is_asked_for(query: str, there: str) -> None:
    for before, behind in ((0, 900), (450, 450), (900, 0)):
        assert there in passage(f"{SENTENCE * before}{there} {SENTENCE * behind}", query)


def test_rare_words_count_for_more_than_frequent_ones() -> None:
    text = f"{SENTENCE * 100}The ferry to Aegina leaves at nine. {'The boat, the day, the boat. ' * 200}"

    assert "Aegina" in passage(text, "Which day does the boat to Aegina leave?")


def test_a_word_inside_of_a_text_without_spaces_is_found() -> None:
    filler = "\u4eca\u5929\u5929\u6c14\u5f88\u597d" * 5_000

    assert "\u9f99\u4e95\u8336" in passage(f"{filler}\u9f99\u4e95\u8336{filler}", "\u9f99\u4e95")


def test_without_the_querys_words_the_middle_is_cut() -> None:
    text = f"First. {SENTENCE * 100}Last."

    assert passage(text, "marmalade") == cut_middle(text, 60 * HUNDREDTHS)


PIECES = st.sampled_from(
    [
        "word",
        "apples. ",
        " ",
        "\n",
        "\u6211\u4f4f\u5728\u3002",
        FAMILY,
        FLAG,
        "e\u0301\u0323",
        "\U0001f44d\U0001f3fd",
        "x" * 50,
        "1,250.50",
    ]
)


@given(st.lists(PIECES, min_size=1, max_size=80).map("".join), st.integers(1, 60), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_whatever_is_cut_fits_and_consists_of_whole_characters(piece: str, times: int, tokens: int) -> None:
    text = piece * times
    room = tokens * HUNDREDTHS
    for cut in (cut_middle(text, room), Passages("apples word", (ENGLISH,)).cut(text, room)):
        assert weigh(cut) <= room
        for part in cut.split(MARK):
            place = text.find(part.strip())
            assert place >= 0
        clusters = set(regex.findall(r"\X", text))
        assert set(regex.findall(r"\X", cut.replace(MARK, ""))) - {" "} <= clusters


@pytest.mark.parametrize("piece", ["x", "e" + "\u0301" * 99, FLAG, "apples ", "\u6211", "a\n"])
def test_the_longest_message_is_cut(piece: str) -> None:
    text = (piece * MAX_CONTENT_CHARACTERS)[:MAX_CONTENT_CHARACTERS]

    for cut in (cut_middle(text, 100 * HUNDREDTHS), passage(text, "apples", 100)):
        assert 50 * HUNDREDTHS < weigh(cut) <= 100 * HUNDREDTHS


def test_a_run_of_flags_is_cut_between_flags() -> None:
    for tokens in random.Random(0).sample(range(20, 900), 20):
        head, tail = cut_middle(FLAG * 500, tokens * HUNDREDTHS).split(MARK)

        assert {*regex.findall(r"\X", head.strip()), *regex.findall(r"\X", tail.strip())} == {FLAG}
