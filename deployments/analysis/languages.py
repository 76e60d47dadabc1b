"""Language codes, stemming, and language detection."""

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
# Snowball's names, which Postgres and older settings use too. Snowball has one stemmer for both written forms of
# Norwegian.
_CODES = {
    "arabic": "ar", "armenian": "hy", "basque": "eu", "catalan": "ca", "czech": "cs", "danish": "da", "dutch": "nl",
    "english": "en", "esperanto": "eo", "estonian": "et", "finnish": "fi", "french": "fr", "german": "de",
    "greek": "el", "hindi": "hi", "hungarian": "hu", "indonesian": "id", "irish": "ga", "italian": "it",
    "lithuanian": "lt", "nepali": "ne", "norwegian": "no", "persian": "fa", "polish": "pl", "portuguese": "pt",
    "romanian": "ro", "russian": "ru", "serbian": "sr", "sesotho": "st", "spanish": "es", "swedish": "sv",
    "tamil": "ta", "turkish": "tr", "yiddish": "yi", "nb": "no", "nn": "no",
}  # fmt: skip

# A few words reach this confidence; for "ok" or "Thanks!" every guess is below 0.1.
_LEAST_CONFIDENCE = 0.7
# More text does not improve detection; 1,000 characters take 150 us.
_CHARACTERS_READ = 1_000
_CODE_LENGTH = 2


def language_code(name: str) -> Language:
    """Return a language's code, given its code or Snowball name. Raises `ValueError` for other text."""
    return known_language(_CODES.get(name, name))


def known_language(code: Language) -> Language:
    """Return the code unchanged. Raises `ValueError` for a code that is neither in ISO 639-1 nor `simple`."""
    if code not in LANGUAGES:
        raise ValueError("must be a language's ISO 639-1 code, such as en, or simple")
    return code


def stem(word: str, language: Language) -> str:
    """Return the stem of a lowercase word, or the word itself if Snowball does not support the language."""
    stemmer = _stemmer(language)
    return word if stemmer is None else str(stemmer.stemWord(word))


def detected(text: str) -> Language | None:
    """Return the language that a text is written in, or None if it is too short to be sure.

    The first call loads the model (0.7 s, 80 MB). After that a short text takes 30 us.
    """
    language, confidence = _identifier().classify(text[:_CHARACTERS_READ])
    return language if confidence >= _LEAST_CONFIDENCE else None


@cache
def _identifier() -> "LanguageIdentifier":
    # Imported here, so that installations without detection do not load it.
    from py3langid import langid  # noqa: PLC0415

    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    # Exclude creoles and dialects: they lower the confidence for short English, Spanish or Chinese texts.
    identifier.set_languages([label for label in identifier.labels if len(label) == _CODE_LENGTH])
    return identifier


@cache
def _stemmer(language: Language) -> Stemmer.Stemmer | None:
    try:
        # Disable Stemmer's cache: `terms` caches the final terms.
        return Stemmer.Stemmer(language, 0)
    except KeyError:
        return None
