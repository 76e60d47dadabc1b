"""Validates metadata of messages, and merges changes into it."""

import math
from collections.abc import Iterator
from typing import Any

import orjson

MAX_METADATA_BYTES = 16_384
MAX_METADATA_DEPTH = 8


def sound_metadata(value: Any) -> Any:
    """Return the metadata unchanged. Raises `ValueError` if it exceeds the limits or cannot be stored."""
    return sound_object(value, MAX_METADATA_BYTES, MAX_METADATA_DEPTH)


def sound_object(value: Any, most_bytes: int, most_depth: int) -> Any:
    """Return the object unchanged. Raises `ValueError` if it exceeds the limits, or cannot be stored."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")  # noqa: TRY004 - pydantic turns ValueErrors alone into a 422
    if not _is_shallow(value, most_depth):
        raise ValueError(f"must not be nested deeper than {most_depth} levels")
    leaves = list(_leaves(value))
    if not all(math.isfinite(leaf) for leaf in leaves if isinstance(leaf, float)):
        raise ValueError("must not hold NaN or infinite numbers")
    if any("\0" in leaf for leaf in leaves if isinstance(leaf, str)):
        raise ValueError("must not hold the character NUL")
    try:
        encoded = orjson.dumps(value)
    except TypeError:
        raise ValueError("must hold strings of valid Unicode and integers of 64 bits") from None
    if len(encoded) > most_bytes:
        raise ValueError(f"must not be larger than {most_bytes} bytes")
    return value


def merge_patch(target: Any, patch: Any) -> Any:
    """Return the target with a JSON Merge Patch applied (RFC 7396, section 2). The arguments are not modified."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _is_shallow(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    parts = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_shallow(part, depth - 1) for part in parts)


def _leaves(value: Any) -> Iterator[Any]:
    """Yield all keys, and all values that are neither objects nor arrays."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    else:
        yield value
