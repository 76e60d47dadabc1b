"""The languages whose words are reduced to stems, and the one that a text is written in."""

from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import Stemmer

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# ISO 639-1 ("en", "de", "zh"), or `PLAIN`.
Language: TypeAlias = str
PLAIN: Language = "simple"
ENGLISH: Language = "en"

_ISO_639_1 = """
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo
    es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka
    kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng
    nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su
    sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
LANGUAGES: dict[Language, None] = dict.fromkeys((*_ISO_639_1.split(), PLAIN))
# Snowball's names, which Postgres uses too and the settings took before. It has one stemmer for both kinds of written
# Norwegian.
_CODES = {
    "arabic": "ar", "armenian": "hy", "basque": "eu", "catalan": "ca", "czech": "cs", "danish": "da", "dutch": "nl",
    "english": "en", "esperanto": "eo", "estonian": "et", "finnish": "fi", "french": "fr", "german": "de",
    "greek": "el", "hindi": "hi", "hungarian": "hu", "indonesian": "id", "irish": "ga", "italian": "it",
    "lithuanian": "lt", "nepali": "ne", "norwegian": "no", "persian": "fa", "polish": "pl", "portuguese": "pt",
    "romanian": "ro", "russian": "ru", "serbian": "sr", "sesotho": "st", "spanish": "es", "swedish": "sv",
    "tamil": "ta", "turkish": "tr", "yiddish": "yi", "nb": "no", "nn": "no",
}  # fmt: skip

# A language is taken to be told from a few words; of "ok" or "Thanks!" every guess is below 0.1.
_LEAST_CONFIDENCE = 0.7
# More text makes no detection surer; 1,000 characters take 150 microseconds.
_CHARACTERS_READ = 1_000
_CODE_LENGTH = 2


def language_code(name: str) -> Language:
    """Return the code of a language by its code or by Snowball's name. Raises `ValueError` for any other text."""
    return known_language(_CODES.get(name, name))


def known_language(code: Language) -> Language:
    """Return a language's code as it is. Raises `ValueError` for one that ISO 639-1 does not have."""
    if code not in LANGUAGES:
        raise ValueError("must be a language's ISO 639-1 code, such as en, or simple")
    return code


def stem(word: str, language: Language) -> str:
    """Return the stem of a word in lower case; the word itself in languages that Snowball has no rules for."""
    stemmer = _stemmer(language)
    return word if stemmer is None else str(stemmer.stemWord(word))


def detected(text: str) -> Language | None:
    """Return the language that a text is written in, or None if it is too short to be sure.

    The first call loads the model: 0.7 s and 80 MB. Then a short text takes 30 microseconds.
    """
    language, confidence = _identifier().classify(text[:_CHARACTERS_READ])
    return language if confidence >= _LEAST_CONFIDENCE else None


@cache
def _identifier() -> "LanguageIdentifier":
    # Imported late: where nothing is detected, it costs nothing.
    from py3langid import langid  # noqa: PLC0415

    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    # Without creoles and dialects, which take a share of the confidence in short English, Spanish or Chinese texts.
    identifier.set_languages([label for label in identifier.labels if len(label) == _CODE_LENGTH])
    return identifier


@cache
def _stemmer(language: Language) -> Stemmer.Stemmer | None:
    try:
        # No cache of its own: the terms are remembered where accents are already off.
        return Stemmer.Stemmer(language, 0)
    except KeyError:
        return None
