"""Which characters a new name may hold: an id of the caller's, or who spoke.

A line break forges a line of a log or of a context. U+202D and U+202E show letters in an order that they do not have;
other marks of direction are part of names in right-to-left scripts.
"""

import re

from pydantic.config import JsonDict

# Control characters (C0, DEL, C1), the separators of lines and paragraphs, both overrides of direction.
REFUSED = r"[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202d\u202e]"
_refused = re.compile(REFUSED)


def in_one_line(name: str) -> str:
    """Return a name as it is. Raises `ValueError`."""
    if _refused.search(name):
        raise ValueError("must not hold line breaks, other control characters, U+202D or U+202E")
    return name


# What Python takes for white space, in the words of a schema.
NOT_BLANK: JsonDict = {"pattern": r"[^\s\u001c-\u001f\u0085]"}
NEW_NAME: JsonDict = {**NOT_BLANK, "not": {"pattern": REFUSED}}
