"""Which terms are in nearly every sentence."""

import pytest

from deployments.analysis.stop_words import stop_terms
from deployments.analysis.terms import query_terms


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "What is it that you don't have"),
        ("de", "Was ist das, und für sie"),
        ("fr", "les mêmes à nous"),
        ("ru", "что это было"),
        ("da", "når jeg ikke er"),
    ],
)
def test_stop_words_are_known_by_the_terms_that_texts_have(language: str, sentence: str) -> None:
    words = query_terms(sentence, (language,)).words

    assert words
    assert stop_terms((language,)).issuperset(term for word in words for term in word)


def test_don_is_a_name_and_other_words_are_none() -> None:
    assert stop_terms(("en",)).isdisjoint(query_terms("Don moved Porto", ("en",)).terms)


@pytest.mark.parametrize("language", ["simple", "zh", "no such language"])
def test_a_language_without_a_list_has_none(language: str) -> None:
    assert stop_terms((language,)) == frozenset()
