"""Estimates how many tokens a text takes. Pure functions.

The service does not know which model reads a context, nor its tokenizer, so this estimate errs upwards. Each character
has a weight by its kind, so the count of a text is the sum of its parts' counts, never shrinks when text is added, and
is 0 only for the empty text.
"""

import string

import numpy as np
import numpy.typing as npt

HUNDREDTHS = 100

# In hundredths of a token, set by hand against Llama 2's tokenizer: its vocabulary of 32,000 gives more tokens than the
# larger vocabularies of later models. Measured errors: docs/decisions/0012-context.md.
_LETTER_OR_SPACE = 25
_CAPITAL = 60
_DIGIT = 100
_SIGN = 80
_LINE_END = 100
# By a character's first byte in UTF-8. Cyrillic is in most vocabularies, while other two-byte characters often are
# tokens of their own. Then three bytes (Indic and Southeast Asian scripts; Chinese, Japanese, Korean), then emoji.
_CYRILLIC = 60
_OF_TWO_BYTES = 100
_INDIC = 150
_OF_THREE_BYTES = 125
_OF_FOUR_BYTES = 300

# No character weighs less, so a text with more characters than this per token is too long without counting it.
MOST_CHARACTERS_PER_TOKEN = HUNDREDTHS // _LETTER_OR_SPACE


def _weights() -> npt.NDArray[np.int64]:
    """Return the weight of each byte value, shape (256,). A character's first byte carries its weight, others 0."""
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
    """Return the weight of a text in hundredths of a token, exactly the sum of its parts' weights."""
    return int(_WEIGHTS[np.frombuffer(text.encode(), dtype=np.uint8)].sum())


def weigh_characters(text: str) -> npt.NDArray[np.int64]:
    """Return the cumulative weight before each character and of the whole text, shape (characters + 1,)."""
    of_octets = _WEIGHTS[np.frombuffer(text.encode(), dtype=np.uint8)]
    weights = np.zeros(len(text) + 1, dtype=np.int64)
    np.cumsum(of_octets[of_octets > 0], out=weights[1:])
    return weights


def count_tokens(text: str) -> int:
    """Return the tokens of a text, rounded up."""
    return -(-weigh(text) // HUNDREDTHS)
