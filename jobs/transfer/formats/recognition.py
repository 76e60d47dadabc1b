"""Detects the format of a file, and reads its records as turns."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

from deployments.schemas.transfer import FORMAT
from jobs.transfer.errors import MovingInputError
from jobs.transfer.formats import chatgpt, claude, langchain, langgraph, mem0, openai_chat, zep
from jobs.transfer.formats.turns import LeftOut, Place, Turn
from jobs.transfer.records import Record

OWN = FORMAT
# The order matters: a memory may have a role like a chat message, and the first format that fits is used.
FOREIGN: dict[str, ModuleType] = {
    module.NAME: module for module in (chatgpt, claude, langgraph, mem0, langchain, zep, openai_chat)
}
NAMES = (OWN, *FOREIGN)


def format_of(record: Record) -> str:
    """Return the format of the first record that has one. Raises `MovingInputError` if none has."""
    if _is_header(record.value):
        return OWN
    for name, module in FOREIGN.items():
        if module.fits(record.value):
            return name
    raise MovingInputError(
        f"line {record.line} is of none of the formats {', '.join(NAMES)}: name the right one with --format"
    )


def turns(name: str, records: Iterator[Record], file: str) -> Iterator[Turn | LeftOut]:
    """Yield the turns of records in a foreign format. `file`: names conversations that have no name."""
    for record in records:
        if record.reason is None:
            yield from FOREIGN[name].read(record.value, Place(record.line, file))
        else:
            yield LeftOut(f"line {record.line}", record.reason)


def _is_header(value: Any) -> bool:
    return isinstance(value, dict) and value.get("format") == FORMAT
