"""Items of LangGraph's store: `{"namespace": ["lena", "memories"], "key", "value", "created_at"}`.

Accepts a list of items, its server's `{"items": [...]}`, an item in each line, and rows of its table `store`. An item
becomes a message. Its namespace becomes the conversation, its value the metadata, and namespace and key together the
external id.
"""

import json
from collections.abc import Iterator
from typing import Any

from jobs.transfer.formats.turns import LeftOut, Place, Read, Spoken, objects_of, to_turn

NAME = "langgraph"
# Usual names of the text in a value: in LangGraph's examples, LangMem and mem0.
TEXTS = ("text", "content", "memory", "data")


def fits(record: Any) -> bool:
    """Return whether a record has this format."""
    return any(map(_is_item, objects_of(record, "items")))


def read(record: Any, place: Place) -> Read:
    """Yield the messages of a record's items."""
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
    """Return namespace and key as one path. `/` and `%` in a name are escaped, so the path is unique."""
    return "/".join(each.replace("%", "%25").replace("/", "%2F") for each in (*namespace, key))


def _is_item(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("key"), str) and "value" in value and bool(_names(value))


def _names(item: dict[str, Any]) -> list[str]:
    """Return the namespace. The table joins its names with dots, which no name may contain."""
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
    """Return the text that a value has under a usual name, else all its fields, one in each line."""
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
        text = ", ".join(map(_scalar, value)) if isinstance(value, list) else _scalar(value)
        yield f"{path}: {text}" if path else text


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
