"""The languages whose words are reduced to stems."""

from functools import cache
from typing import TypeAlias

import Stemmer

# ISO 639-1 ("en", "de", "zh"), or `PLAIN`.
Language: TypeAlias = str
PLAIN: Language = "simple"
ENGLISH: Language = "en"


def stem(word: str, language: Language) -> str:
    """Return the stem of a word in lower case; the word itself in languages that Snowball has no rules for."""
    stemmer = _stemmer(language)
    return word if stemmer is None else str(stemmer.stemWord(word))


@cache
def _stemmer(language: Language) -> Stemmer.Stemmer | None:
    try:
        # No cache of its own: the terms are remembered where accents are already off.
        return Stemmer.Stemmer(language, 0)
    except KeyError:
        return None
