"""Validates the characters of new names: callers' ids and names of speakers.

A line break could forge a line of a log or of a context. U+202D and U+202E display letters in a false order; other
direction marks are part of names in right-to-left scripts.
"""

import re

from pydantic.config import JsonDict

# Control characters (C0, DEL, C1), line and paragraph separators, both direction overrides.
REFUSED = r"[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202d\u202e]"
_refused = re.compile(REFUSED)


def in_one_line(name: str) -> str:
    """Return the name unchanged. Raises `ValueError` if it holds a refused character."""
    if _refused.search(name):
        raise ValueError("must not hold line breaks, other control characters, U+202D or U+202E")
    return name


# Python's definition of white space, as a JSON schema.
NOT_BLANK: JsonDict = {"pattern": r"[^\s\u001c-\u001f\u0085]"}
NEW_NAME: JsonDict = {**NOT_BLANK, "not": {"pattern": REFUSED}}
