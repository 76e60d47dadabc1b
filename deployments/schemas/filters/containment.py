"""The `metadata` filter: messages whose metadata contain all of an object."""

from collections.abc import Iterator
from typing import Any

from deployments.schemas.filters.where import Condition, Operator, Path, is_operator


def without_operators(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the filter unchanged. Raises `ValueError` for an object of operators, which no metadata would contain."""
    found = _operators(metadata)
    if found is not None:
        raise ValueError(f'has operators ("{found}"), but is compared as it is: use `where` for conditions')
    return metadata


def _operators(value: Any) -> str | None:
    if isinstance(value, dict) and value and all(map(is_operator, value)):
        return str(next(iter(value)))
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for part in parts if (found := _operators(part)) is not None), None)


def conditions_of(metadata: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[Condition]:
    """Yield one containment condition for each leaf path. Together they are equivalent to the whole filter."""
    for key, part in metadata.items():
        keys = (*above, key)
        if isinstance(part, dict) and part:
            yield from conditions_of(part, keys)
        else:
            yield Condition(Path(keys), Operator.HOLDS, part)
