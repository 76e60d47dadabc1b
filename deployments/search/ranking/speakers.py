"""Finds the speakers that a query mentions. Pure functions."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from deployments.analysis.read_part import read_part
from deployments.schemas.messages import Role

# `\w` does not match the vowel signs of many scripts, and would split words at each of them.
_MARKS = "".join(c for c in map(chr, range(0x300, 0x10000)) if unicodedata.category(c).startswith("M"))
_WORD = re.compile(rf"[\w{_MARKS}]+(?:'[\w{_MARKS}]+)*")
# Thai, Lao, Burmese, Khmer, kana, Chinese, Hangul: without spaces between words, or with particles on them.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2}")
_FIRST_PERSON = re.compile(r"\b(i|me|my|mine|myself)\b", re.IGNORECASE)
# Only past speech means the assistant: "can you recommend" asks for something new, which the user's messages answer.
_SECOND_PERSON_SAID = re.compile(
    r"\bdid you (?:\w+ )?(?:say|tell|recommend|suggest|mention|provide|give|list|advise|explain|write|describe|answer"
    r"|propose)\b"
    r"|\byou(?:['\u2019]ve| have| had)?(?: \w+)? (?:said|told|recommended|suggested|mentioned|provided|gave|given"
    r"|listed|advised|explained|wrote|written|described|answered|proposed)\b"
    r"|\byour (?:recommendation|suggestion|advice|answer|explanation|list|proposal)s?\b",
    re.IGNORECASE,
)


class Speakers:
    """The speakers that a query mentions by name, or as "I" (role user) and "you" (role assistant).

    "I" and "you" are recognised in English only, names in any language.
    """

    def __init__(self, query: str, names: Iterable[str | None]) -> None:
        """`names`: names of all speakers. A query names a speaker if it contains the first word of the name."""
        query = read_part(query)
        asked = read_part(_normal(query))
        words = {form for word in _WORD.findall(asked) for form in _forms(word)}
        self._named = {name for name in names if name and _is_named(name, asked, words)}
        self._role = _role_spoken_of(query)

    @property
    def known(self) -> bool:
        """Return whether the query mentions a speaker by name, or as "I" or "you"."""
        return bool(self._named) or self._role is not None

    def spoke(self, role: str, name: str | None) -> bool:
        """Return whether the query mentions this speaker. "I" and "you" match only speakers without a name."""
        return name in self._named if name else role == self._role


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")


def _forms(word: str) -> Iterator[str]:
    """Yield a word and its parts around an apostrophe ("ida's", "qu'ida"), but not "don" for "don't"."""
    yield word
    before, _, behind = word.rpartition("'")
    if behind != "t":
        yield before
    if len(behind) > 1:
        yield behind


def _is_named(name: str, asked: str, words: set[str]) -> bool:
    first = _WORD.search(_normal(name))
    return first is not None and (first[0] in words or (bool(_UNSPACED.match(first[0])) and first[0] in asked))


def _role_spoken_of(query: str) -> Role | None:
    if _SECOND_PERSON_SAID.search(query):
        return Role.ASSISTANT
    return Role.USER if _FIRST_PERSON.search(query) else None
