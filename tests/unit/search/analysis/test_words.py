"""Where a text is cut, and what its words are beside words."""

from itertools import chain

import pytest

from deployments.analysis.normalization import normalized
from deployments.analysis.words import Kind, chunks, numbers, plain_words, words_of


def of_kind(text: str, kind: Kind) -> list[str]:
    words = chain.from_iterable(map(words_of, chunks(normalized(text))))
    return [word.text for word in words if word.kind is kind]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("It's 5 o'clock.", ["It's", "5", "o'clock"]),
        ("\u201cWell\u201d\u2026 \u00abyes\u00bb \u2018no\u2019", ["Well", "yes", "no"]),
        ('<a b="c">vector<T></a>', ["a", "b", "c", "vector", "T", "a"]),
        ("mail jo.doe+x@a.example.com!", ["mail", "jo.doe+x@a.example.com"]),
        ("https://a.example/b/c.txt?d=1&e=2#f,", ["https://a.example/b/c.txt?d=1&e=2#f"]),
        (r"C:\temp\a.txt or ~/a_b", [r"C", r"temp\a.txt", "or", "a_b"]),
        ("std::map and a/b, a-b.", ["std::map", "and", "a/b", "a-b"]),
        ("C++, C#; C+", ["C++", "C#", "C"]),
        ("e\N{NON-BREAKING HYPHEN}mail", ["e-mail"]),
        ("snow\N{SNOWMAN}man\N{SNOWMAN}", ["snow", "\N{SNOWMAN}", "man", "\N{SNOWMAN}"]),
        ("السلام، كيف", ["السلام", "كيف"]),
        ("राम। घर", ["राम", "घर"]),
        ("上海\uff0c北京。", ["上海", "北京"]),
    ],
)
def test_a_text_is_cut_at_spaces_and_punctuation(text: str, expected: list[str]) -> None:
    assert chunks(normalized(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jo.doe@example.com", ["jo", "doe", "example", "com"]),
        ("INV-2024-0077", ["INV", "2024", "0077"]),
        ("don't", ["don't"]),
        ("किताब", ["किताब"]),
        ("iPhone手机v2", ["iPhone", "v2"]),
    ],
)
def test_an_identifier_has_the_words_that_it_is_made_of(text: str, expected: list[str]) -> None:
    assert of_kind(text, Kind.WORD) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", []),
        ("e-mail", ["email"]),
        ("U.S.A.", ["USA"]),
        ("well-known-name", []),
        ("l'amour", ["amour"]),
        ("Jo's", ["Jo"]),
        ("O'Brien", ["Brien"]),
        ("don't", []),
        ("widgetHandle", ["widget", "Handle"]),
        ("A77", ["A", "77"]),
        ("v2", ["v", "2"]),
        ("5th", ["5", "th"]),
        ("Hello", []),
        ("HELLO", []),
    ],
)
def test_a_word_has_further_forms(text: str, expected: list[str]) -> None:
    assert of_kind(text, Kind.FORM) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("word", []),
        ("Foo.js", ["Foo.js"]),
        ("C++", ["C++"]),
        ("ERR_4021", ["ERR_4021"]),
        ("\N{SNOWMAN}", ["\N{SNOWMAN}"]),
        ("https://a.example/b-c?d=1", ["https://a.example/b-c?d=1", "a.example", "b-c"]),
        ("jo.doe@example.com", ["jo.doe@example.com", "jo.doe", "example.com"]),
        ("用C++写a.txt", ["C++", "a.txt"]),
        ("上海/北京", []),
    ],
)
def test_what_is_written_as_one_can_be_found_as_one(text: str, expected: list[str]) -> None:
    assert of_kind(text, Kind.IDENTIFIER) == expected


@pytest.mark.parametrize(
    ("text", "pairs", "characters"),
    [
        ("上海人", ["上海", "海人"], ["上", "海", "人"]),
        ("好", ["好"], []),
        ("カード", ["カー", "ード"], ["カ", "ー", "ド"]),
        ("부산에", ["부산", "산에"], ["부", "산", "에"]),
        ("ไก่ดี", ["ไก่", "ก่ดี"], ["ไ", "ก่", "ดี"]),
        ("ລາວ", ["ລາ", "າວ"], ["ລ", "າ", "ວ"]),
        ("ខ្មែរ", ["ខ្មែ", "មែរ"], ["ខ្", "មែ", "រ"]),
        ("မြန်မာ", ["မြန်", "န်မာ"], ["မြ", "န်", "မာ"]),
        ("\U00017000\U00017001", ["\U00017000\U00017001"], ["\U00017000", "\U00017001"]),  # Tangut
        ("go上海go", ["上海"], ["上", "海"]),
    ],
)
def test_scripts_without_spaces_are_cut_into_pairs(text: str, pairs: list[str], characters: list[str]) -> None:
    assert of_kind(text, Kind.PAIR) == pairs
    assert of_kind(text, Kind.CHARACTER) == characters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024", set()),
        ("v2.3.1", {"2.3.1"}),
        ("INV-2024-0077", {"2024-0077", "20240077"}),
        ("+1-415-555-0134", {"1-415-555-0134", "14155550134", "4155550134", "5550134"}),
        ("+1 (415) 555-0134", {"14155550134", "4155550134", "5550134"}),
        ("(415)555.0134", {"4155550134", "5550134"}),
        ("1,250", {"1,250", "1250"}),
        ("1,250.50", {"1,250.50", "1250.50", "1250", "125050"}),
        ("1.250,50", {"1.250,50", "1250.50", "1250", "125050"}),
        ("1'250'000.5", {"1'250'000.5", "1250000.5", "1250000", "12500005", "2500005"}),
        ("12345, 67890", set()),
        ("12345. 67890", set()),
    ],
)
def test_a_number_is_found_however_it_is_grouped(text: str, expected: set[str]) -> None:
    assert set(numbers(text)) == expected


def test_plain_words_are_those_of_a_text_without_their_forms() -> None:
    assert plain_words("It's a Stra\u00dfe, 上海 2") == ["it", "s", "a", "strasse", "上", "海", "2"]
