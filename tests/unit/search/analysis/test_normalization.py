"""Two spellings that a reader takes for one are one."""

import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from deployments.analysis.normalization import casefolded, normalized, unaccented
from tests.unit.search.generated import GENERATED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("Plain text stays.", "Plain text stays."),
        ("it\u2019s it\u00b4s it`s it\u2032s it\uff07s", "it's it's it's it's it's"),
        ("ＦＵＬＬ １２", "FULL 12"),  # noqa: RUF001 - wide letters, as Asian keyboards send them
        ("e\u0301", "\u00e9"),
        ("e\N{SOFT HYPHEN}\u0301", "\u00e9"),
        ("co\N{SOFT HYPHEN}op \ufefftext \N{RIGHT-TO-LEFT MARK}", "coop text "),
        ("می\N{ZERO WIDTH NON-JOINER}خواهم", "میخواهم"),
        ("a\N{ZERO WIDTH SPACE}b", "a\N{ZERO WIDTH SPACE}b"),
        ("\N{HEAVY BLACK HEART}\ufe0f", "\N{HEAVY BLACK HEART}"),
        ("٢٠٢٤ ۱۲ २४ ๕", "2024 12 24 5"),
        ("555\N{NON-BREAKING HYPHEN}0134", "555-0134"),
        ("1\u00a0250", "1 250"),
        ("\ufb01ne", "fine"),
        ("H\u2082O m\u00b2", "H2O m2"),
        ("10\u00b2", "10 2"),
        ("1\u00bd", "1 1\u20442"),
        ("LEGO\u2122!", "LEGO TM !"),
        ("\u24bd\u24ba\u24ce", "HEY"),
    ],
)
def test_a_text_is_brought_into_one_form(text: str, expected: str) -> None:
    assert normalized(text) == expected


def test_digits_that_python_does_not_know_yet_stay() -> None:
    newest = "".join(map(chr, range(0x10D40, 0x10D4A)))  # Garay, Unicode 16

    assert normalized(newest) in {newest, "0123456789"}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("HELLO", "hello"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("\u0130zmir", "izmir"),
        ("\u039f\u0394\u039f\u03a3", "\u03bf\u03b4\u03bf\u03c3"),
        ("\u00c9T\u00c9", "\u00e9t\u00e9"),
    ],
)
def test_case_is_taken_off_and_accents_stay(word: str, expected: str) -> None:
    assert casefolded(word) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("hello", "hello"),
        ("\u00e9t\u00e9", "ete"),
        ("sm\u00f8rrebr\u00f8d", "smorrebrod"),
        ("\u0142\u00f3d\u017a", "lodz"),
        ("k\u0131z", "kiz"),
        ("\u03ac\u03bd\u03b8\u03c1\u03c9\u03c0\u03bf\u03c2", "\u03b1\u03bd\u03b8\u03c1\u03c9\u03c0\u03bf\u03c2"),
        ("\u0451\u043b\u043a\u0430", "\u0435\u043b\u043a\u0430"),
        ("مُحَمَّد", "محمد"),
        ("שָׁלוֹם", "שלום"),
    ],
)
def test_accents_and_vowel_points_are_taken_off(word: str, expected: str) -> None:
    assert unaccented(word) == expected


@pytest.mark.parametrize("word", ["किताब", "ไก่", "ភាសា", "が", "한글", "தமிழ்"])
def test_marks_that_are_part_of_the_word_stay(word: str) -> None:
    assert unaccented(word) == unicodedata.normalize("NFC", word)


@GENERATED
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_normalising_again_changes_nothing(text: str) -> None:
    once = normalized(text)

    assert normalized(once) == once
    assert unicodedata.is_normalized("NFKC", once)
    assert not regex.search(r"\p{Default_Ignorable_Code_Point}", once)
