"""How many tokens a text takes, about. Pure.

Which model reads a context is the caller's business, and so is its tokenizer: what is counted here is an estimate
that errs upwards. Each character has a weight by the kind that it is of, so that the count of a text is the sum of
its parts', never shrinks when something is added, and is 0 for the empty text alone.
"""

import string

import numpy as np
import numpy.typing as npt

HUNDREDTHS = 100

# In hundredths of a token, set by hand against Llama 2's tokenizer, whose 32,000 tokens make a text longer than the
# larger vocabularies of later models do: docs/decisions/0012-context.md has what they come to.
_LETTER_OR_SPACE = 25
_CAPITAL = 60
_DIGIT = 100
_SIGN = 80
_LINE_END = 100
# By the first byte of a character in UTF-8: Cyrillic is in most vocabularies, while one of two bytes elsewhere often
# stands for itself; then what takes three bytes (Indic and Southeast Asian scripts; Chinese, Japanese, Korean), then
# emoji.
_CYRILLIC = 60
_OF_TWO_BYTES = 100
_INDIC = 150
_OF_THREE_BYTES = 125
_OF_FOUR_BYTES = 300

# No character counts for less, so that a text of so many characters is known to be too long without a look at it.
MOST_CHARACTERS_PER_TOKEN = HUNDREDTHS // _LETTER_OR_SPACE


def _weights() -> npt.NDArray[np.int64]:
    """The weight of each byte; a character's stands with its first byte, and the others weigh nothing."""
    weights = np.full(256, _SIGN, dtype=np.int64)
    for characters, weight in (
        (string.ascii_lowercase + " ", _LETTER_OR_SPACE),
        (string.ascii_uppercase, _CAPITAL),
        (string.digits, _DIGIT),
        ("\n", _LINE_END),
    ):
        weights[list(characters.encode())] = weight
    weights[0x80:0xC0] = 0
    weights[0xC0:0xE0] = _OF_TWO_BYTES
    weights[0xD0:0xD2] = _CYRILLIC
    weights[0xE0:0xE2] = _INDIC
    weights[0xE2:0xF0] = _OF_THREE_BYTES
    weights[0xF0:] = _OF_FOUR_BYTES
    return weights


_WEIGHTS = _weights()


def weigh(text: str) -> int:
    """What a text takes, in hundredths of a token: exactly the sum of what its parts take."""
    return int(_WEIGHTS[np.frombuffer(text.encode(), dtype=np.uint8)].sum())


def weigh_characters(text: str) -> npt.NDArray[np.int64]:
    """Return what the text takes up to each of its characters, and as a whole: one number more than characters."""
    of_octets = _WEIGHTS[np.frombuffer(text.encode(), dtype=np.uint8)]
    weights = np.zeros(len(text) + 1, dtype=np.int64)
    np.cumsum(of_octets[of_octets > 0], out=weights[1:])
    return weights


def count_tokens(text: str) -> int:
    """The tokens of a text, rounded up."""
    return -(-weigh(text) // HUNDREDTHS)
