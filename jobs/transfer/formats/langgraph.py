"""Items of LangGraph's store: `{"namespace": ["lena", "memories"], "key", "value", "created_at"}`.

A list of them, `{"items": [...]}` as its server answers, an item in each line, and rows of its table `store` are read.
An item becomes a message whose conversation is its namespace, whose metadata is its value, and whose external id is
both of its names.
"""

import json
from collections.abc import Iterator
from typing import Any

from jobs.transfer.formats.turns import LeftOut, Place, Read, Spoken, objects_of, to_turn

NAME = "langgraph"
# Where values that hold a memory have its text: LangGraph's own examples, LangMem, and mem0's way.
TEXTS = ("text", "content", "memory", "data")


def fits(record: Any) -> bool:
    """Whether a record is of this format."""
    return any(map(_is_item, objects_of(record, "items")))


def read(record: Any, place: Place) -> Read:
    """What a record's items hold."""
    items = objects_of(record, "items")
    if not items:
        yield LeftOut(str(place), "holds no items")
    for number, item in enumerate(items, 1):
        where = str(place) if items == [record] else place.of(number)
        if _is_item(item):
            yield from _turn(item, where, place)
        else:
            yield LeftOut(where, "is no item")


def external_id(namespace: list[str], key: str) -> str:
    """Both names as one path. `/` and `%` inside of a name are escaped, so no two items have the same."""
    return "/".join(each.replace("%", "%25").replace("/", "%2F") for each in (*namespace, key))


def _is_item(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("key"), str) and "value" in value and bool(_names(value))


def _names(item: dict[str, Any]) -> list[str]:
    """The namespace. The table has it with dots, which no name may hold."""
    names = item.get("namespace", item.get("prefix"))
    names = names.split(".") if isinstance(names, str) else names
    return [str(each) for each in names] if isinstance(names, list) else []


def _turn(item: dict[str, Any], where: str, place: Place) -> Read:
    names, value = _names(item), item["value"]
    known_as = external_id(names, item["key"])
    yield from to_turn(
        Spoken(
            place=where,
            index=0,
            conversation_id="/".join(names) or place.file,
            chat={"role": "user", "content": _text(value)},
            metadata=value if isinstance(value, dict) else {"value": value},
            times=[item],
            identity=f"langgraph\0{known_as}",
            external_id=known_as,
        )
    )


def _text(value: Any) -> str:
    """The text that a value holds under a usual name, else all that it says, a line for each field."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        for name in TEXTS:
            if isinstance(value.get(name), str | dict) and value[name]:
                return _text(value[name])
    return "\n".join(_lines(value, ""))


def _lines(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _lines(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for each in value:
            yield from _lines(each, path)
    elif value not in (None, "", []):
        told = ", ".join(map(_scalar, value)) if isinstance(value, list) else _scalar(value)
        yield f"{path}: {told}" if path else told


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
