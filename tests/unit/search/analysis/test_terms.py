"""From a text to its terms: what finds what, and what holds for whatever text there is."""

import unicodedata

import pytest
import regex
from hypothesis import example, given

from deployments.analysis.normalization import normalized
from deployments.analysis.terms import LONGEST_REMEMBERED, LONGEST_TERM, Terms, document_terms, query_terms
from tests.unit.search.generated import GENERATED, TEXTS, words_of

ENGLISH, PLAIN = ("en",), ("simple",)


def held(text: str, language: str = "en") -> set[str]:
    """Return all terms by which a text is found."""
    found = document_terms(text, (language,))
    return {*found.words, *found.forms}


def finds(query: str, text: str, language: str = "en") -> bool:
    return not held(text, language).isdisjoint(query_terms(query, (language,)).terms)


def finds_whole(query: str, text: str, language: str = "en") -> bool:
    """Return whether a text holds every word of the query."""
    words = query_terms(query, (language,)).words
    return bool(words) and all(not held(text, language).isdisjoint(word) for word in words)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        # Signs that stand beside a word.
        ("hello", "\u201cHello\u201d, she said"),
        ("hello", "\u00abHello\u00bb"),
        ("hello", "\u201eHello\u201c"),
        ("wait", "wait\u2026what"),
        ("porto", "Braga\u2014Porto"),
        ("pizza", "pizza\N{SLICE OF PIZZA}"),
        ("\N{SLICE OF PIZZA}", "pizza\N{SLICE OF PIZZA}"),
        ("\N{THUMBS UP SIGN}", "\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}"),
        ("السلام", "السلام، كيف حالك؟"),
        ("नमस्ते", "नमस्ते।"),
        ("T", "vector<T>"),
        ("vector", "vector<T>"),
        ("c", '<a b="c">'),
        ("lego", "LEGO\N{TRADE MARK SIGN}"),
        ("1", "1\N{VULGAR FRACTION ONE HALF} cups"),
        ("foo", "foo\N{ZERO WIDTH SPACE}bar"),
        ("b", "a\N{DIAERESIS}b"),
        # Spellings that are one to the reader.
        ("Cafe", "ｃａｆｅ"),  # noqa: RUF001 - wide letters, as Asian keyboards send them
        ("cafe", "Caf\u00e9"),
        ("caf\u00e9", "Cafe\u0301"),
        ("cooperate", "co\N{SOFT HYPHEN}operate"),
        ("می\N{ZERO WIDTH NON-JOINER}خواهم", "میخواهم"),
        ("strasse", "Straße"),
        ("smorrebrod", "Smørrebrød"),
        ("istanbul", "\u0130STANBUL"),
        ("istanbul", "\u0131stanbul"),
        ("2024", "٢٠٢٤"),
        ("Marlow", "Marlow\u2019s boat"),
        ("Marlow's", "Marlow\u2019s boat"),
        ("amour", "l\u2019amour"),
        ("Brien", "O'Brien"),
        ("don't", "I don\u2019t"),
        # Identifiers and their parts.
        ("USA", "the U.S.A."),
        ("U.S.A", "the USA"),
        ("email", "by e-mail"),
        ("e-mail", "by email"),
        ("email", "by e\N{NON-BREAKING HYPHEN}mail"),
        ("jo.doe@example.com", "(jo.doe@example.com)"),
        ("example.com", "https://example.com/a?b=c#d"),
        ("report.pdf", "in /home/jo/report.pdf."),
        ("a/b", "either a/b"),
        ("Foo.js", "see Foo.js!"),
        ("foo", "Foo.js"),
        ("Obsidian", '"Obsidian.My"'),
        ("handle", "widgetHandle"),
        ("C++", "用C++写"),
        ("jo@example.com", "jo@example.com으로"),
        # Numbers.
        ("5", "5th"),
        ("2.3.1", "v2.3.1"),
        ("v2", "V2.3.1"),
        ("77", "A77"),
        ("0077", "INV-2024-0077"),
        ("INV-2024-0077", "inv-2024-0077,"),
        ("4021", "ERR_4021"),
        ("4155550134", "+1-415-555-0134"),
        ("4155550134", "(415) 555-0134"),
        ("(415) 555-0134", "4155550134"),
        ("1250.50", "1,250.50"),
        ("1250.50", "1.250,50"),
        # Scripts without spaces.
        ("上海", "我在上海住"),
        ("ラーメン", "このラーメンは"),
        ("부산", "부산에서"),
        ("ภาษา", "ภาษาไทย"),
        ("ລາວ", "ພາສາລາວ"),
        ("ខ្មែរ", "ភាសាខ្មែរ"),
        ("မြန်မာ", "မြန်မာစာ"),
        ("好", "你好"),
        ("ー", "カード"),
        ("iPhone", "我的iPhone很好"),
        ("手机", "iPhone手机"),
    ],
)
def test_a_query_finds_the_text(query: str, text: str) -> None:
    assert finds(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("don", "I don't"),
        ("कल", "कला"),  # its vowel sign makes another word of it
        ("ไก", "ไก่"),
        ("上海", "海上"),
        ("手机", "手写机"),
        ("c++", "用C#写"),
        ("4155550134", "4155550135"),
        ("mar", "Marlow"),
    ],
)
def test_a_query_does_not_find_another_text(query: str, text: str) -> None:
    terms = query_terms(query, ENGLISH).terms

    assert not set(terms) <= held(text)


def test_of_c_plus_plus_and_c_sharp_each_has_a_term_of_its_own() -> None:
    assert held("C++ and so on") - held("C# and so on") == {"c++"}
    assert held("C# and so on") - held("C++ and so on") == {"c#"}


def test_words_make_the_length_of_a_text_and_forms_do_not() -> None:
    found = document_terms("Jo mailed jo.doe@example.com, then Jo slept", ENGLISH)

    assert sum(found.words.values()) == len(["Jo", "mailed", "jo", "doe", "example", "com", "then", "Jo", "slept"])
    assert found.words["jo"] == 3
    assert "jo.doe@example.com" in found.forms


def test_the_first_language_counts_and_the_others_find() -> None:
    both = document_terms("running", ("en", "de"))

    assert both == Terms({"run": 1}, {"running": 1})
    assert query_terms("running", ("en", "de")).words == (("run", "running"),)


def test_a_querys_terms_are_there_once_in_their_order() -> None:
    assert query_terms("tea, coffee, tea", ENGLISH).terms == ("tea", "coffe")


def test_single_characters_find_only_where_a_query_is_one() -> None:
    assert query_terms("你好", ENGLISH).terms == ("你好",)
    assert query_terms("好", ENGLISH).terms == ("好",)


@pytest.mark.parametrize("text", ["", " \n", "?!\u2026", "\N{ZERO WIDTH JOINER}", "\u0301", "-- ' --"])
def test_without_words_there_are_no_terms(text: str) -> None:
    assert document_terms(text, ENGLISH) == Terms({}, {})
    assert query_terms(text, ENGLISH) == ((), ())


@pytest.mark.parametrize("letter", ["a", "ß", "\u0130", "æ", "\U00010400", "æ."])
def test_a_longer_word_is_found_by_its_first_characters(letter: str) -> None:
    word = letter * 3 * LONGEST_TERM

    assert max(map(len, held(word))) <= LONGEST_TERM
    assert finds_whole(word, f"so {word}{letter} it is")


def test_a_letter_with_ever_so_many_marks_is_cut_too() -> None:
    word = "กก" + "\u0e48" * 2 * LONGEST_TERM

    assert max(map(len, held(word))) <= LONGEST_TERM
    assert finds_whole(word, f"so {word} it is")


@pytest.mark.parametrize("separator", [" ", ", ", ",", ".", "-", "/"])
def test_a_long_list_of_numbers_has_terms_of_the_usual_length(separator: str) -> None:
    terms = held(separator.join(map(str, range(5_000))))

    assert {"0", "77", "4999"} <= terms
    assert max(map(len, terms)) <= LONGEST_TERM
    assert not any(regex.search(r"\s", term) for term in terms)


def test_it_makes_no_difference_whether_a_word_is_remembered() -> None:
    seldom = "x" * LONGEST_REMEMBERED + ".Y77"

    assert held(f"{seldom} Foo.js") == held(seldom) | held("Foo.js")
    assert held("Foo.js") == held("Foo.js")


@pytest.mark.parametrize("languages", [ENGLISH, PLAIN])
@GENERATED
@given(text=TEXTS)
@example(text="\U00010d40 \U00011f50")  # digits that Python's own tables may not know yet
@example(text="A77 5th v2 \u0e01\u0e33\u0e48\u0e01\u0e33")
def test_every_word_of_a_text_finds_it(languages: tuple[str, ...], text: str) -> None:
    found = document_terms(text, languages)
    for word in words_of(text):
        asked = query_terms(word, languages).terms
        assert asked, word
        assert not {*found.words, *found.forms}.isdisjoint(asked), (word, asked, found)


@GENERATED
@given(text=TEXTS)
def test_terms_are_fit_to_be_stored(text: str) -> None:
    for term in (*held(text), *query_terms(text, ENGLISH).terms):
        assert 0 < len(term) <= LONGEST_TERM
        assert not regex.search(r"[\s\0]", term)
        assert unicodedata.is_normalized("NFC", term)


@GENERATED
@given(text=TEXTS)
@example(text="a\u1ffdb \u212b \U0001d15e")
def test_terms_are_the_same_however_accents_are_encoded(text: str) -> None:
    found = document_terms(text, ENGLISH)

    assert document_terms(text, ENGLISH) == found
    assert document_terms(unicodedata.normalize("NFC", text), ENGLISH) == found
    assert document_terms(unicodedata.normalize("NFD", text), ENGLISH) == found


@GENERATED
@given(text=TEXTS)
def test_words_are_the_same_in_capitals(text: str) -> None:
    capitals = text.upper()
    if len(capitals) == len(text) and capitals.casefold() == text.casefold():
        assert document_terms(capitals, ENGLISH).words == document_terms(text, ENGLISH).words


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("XMLHttpRequest failed", "http"),
        ("XMLHttpRequest failed", "xml"),
        ("my iPhone15Pro", "iPhone"),
        ("rock'n'roll", "roll"),
    ],
)
def test_the_parts_of_a_word_in_mixed_case_find_it(text: str, query: str) -> None:
    assert finds(query, text)


def test_any_number_of_marks_on_a_letter_takes_linear_time() -> None:
    """Sorting 100,000 marks takes 8 s; what is left of them is compared."""
    marked = "a" + "\u0301\u0316" * 50_000

    assert normalized(marked) == normalized("a" + "\u0301\u0316" * 60_000)
    assert len(normalized(marked)) < 40
