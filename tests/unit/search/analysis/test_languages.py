"""Stems, where Snowball knows a language."""

import pytest

from deployments.analysis.languages import PLAIN, stem


@pytest.mark.parametrize(
    ("word", "other", "language"),
    [
        ("running", "runs", "en"),
        ("häuser", "häusern", "de"),
        ("книга", "книги", "ru"),
        ("maisons", "maison", "fr"),
        ("evler", "evde", "tr"),
    ],
)
def test_the_forms_of_a_word_have_one_stem(word: str, other: str, language: str) -> None:
    assert stem(word, language) == stem(other, language)


@pytest.mark.parametrize("language", [PLAIN, "zh", "no such language", ""])
def test_a_language_without_rules_leaves_words_as_they_are(language: str) -> None:
    assert stem("running", language) == "running"
