"""How tests over generated input run, and the texts and words that they take."""

import unicodedata
from collections.abc import Iterator

import regex
from hypothesis import settings
from hypothesis import strategies as st

# The same examples in every run, so that no run fails by chance; and none by how busy the machine is.
GENERATED = settings(max_examples=100, deadline=None, derandomize=True)

# Whatever text there is.

ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCRIPTS = st.text(
    st.sampled_from(
        "abzABZ\u00e9\u00df\u00f8\u0131\u0130\u03c3\u03c2\u0436\u0639\u05e9\u0915\u093f\u0e01\u0e33\u0e48\u0ea5\u1780"
        "\u17d2\u1000\u1039\u304b\u30ab\u30fc\u4e0a\ud55c\u1112\u1161\u11ab\uff76\uff9e\uff21\ufb01\u2460"
        "\u0300\u0301\u0307\u0323\u3099\u200b\u200c\u200d\u00ad\ufe0f\u034f"
        "0159\u0660\u0966\u00b2\u00bd\U0001f355\U0001f3fd\u2122"
        "  \n.,'\u2019\"-_/:@&=~%\\?#+<>()\u201c\u2026\u060c\u0964\u3002\uff0c"
    ),
    max_size=16,
)
TEXTS = st.lists(ANYTHING | SCRIPTS, max_size=4).map("".join)
_TOKEN = regex.compile(r"(?w)\b\w+\b")
_ASKS = regex.compile(r"[\p{L}\p{N}]")
# Here words are cut otherwise than in UAX #29, and each for a reason: "s" and "ll" are no words, what stands for ten
# behind a digit is a part of the number, the first half of Thai and Lao AM is a mark of the letter before it, and what
# is to be invisible in a later version of Unicode already is.
_CUT_OTHERWISE = regex.compile(
    r"['`\u00b4\u2018\u2019\u201b\u02b9\u02bc\u0374\u0149\u1fef\u1ffd\u2032\uff07\uff40\u0e33\u0eb3\p{No}]"
    r"|[\p{Default_Ignorable_Code_Point}&&\p{Cn}]",
    regex.VERSION1,
)
_INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}]")


def words_of(text: str) -> Iterator[str]:
    """Yield what may be asked for of a text: its words as in UAX #29, and what stands between its spaces."""
    pieces = text.split()
    tokens = [token for piece in pieces if not _CUT_OTHERWISE.search(piece) for token in _TOKEN.findall(piece)]
    for word in (*pieces, *tokens):
        if _ASKS.search(unicodedata.normalize("NFKC", _INVISIBLE.sub("", word)).strip("\u02b9\u02bc")):
            yield word
