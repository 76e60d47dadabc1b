"""`metadata` as a filter: messages whose metadata hold all of an object."""

from collections.abc import Iterator
from typing import Any

from deployments.schemas.filters.where import Condition, Operator, Path, is_operator


def without_operators(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what is given. Raises `ValueError` for an object of operators, which nothing would ever hold."""
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
    """Yield what a message's metadata have to hold, each at its path, so that together they are the whole."""
    for key, part in metadata.items():
        keys = (*above, key)
        if isinstance(part, dict) and part:
            yield from conditions_of(part, keys)
        else:
            yield Condition(Path(keys), Operator.HOLDS, part)
