"""mem0's memories, as `get_all` returns them: `{"results": [{"id", "memory", "metadata", "created_at", ...}]}`.

A list of them, a memory in each line, and lists under other names (`memories`, `items`, `data`) are accepted too.
"""

from typing import Any

from deployments.schemas.chat_text import ROLES
from jobs.transfer.formats.turns import LeftOut, Place, Read, Spoken, name_of, said, to_turn

NAME = "mem0"
LISTS = ("results", "memories", "items", "data")
# No metadata: fields that the service stores elsewhere, or that only mem0 uses.
OWN_FIELDS = {"id", "memory", "metadata", "role", "actor_id", "run_id", "created_at", "hash", "score"}


def fits(record: Any) -> bool:
    """Return whether a record has this format."""
    return any(isinstance(each, dict) and "memory" in each for each in _memories(record))


def read(record: Any, place: Place) -> Read:
    """Yield the memories of a record as messages."""
    memories = _memories(record)
    if not memories:
        yield LeftOut(str(place), "holds no memories")
    one_by_one = isinstance(record, dict) and "memory" in record
    for number, memory in enumerate(memories, 1):
        where = str(place) if one_by_one else place.of(number)
        if isinstance(memory, dict) and isinstance(memory.get("memory"), str) and memory["memory"].strip():
            yield from _turn(memory, where, place)
        else:
            yield LeftOut(where, "is no memory, or has no text")


def _memories(record: Any) -> list[Any]:
    if isinstance(record, dict):
        found: list[Any] = next((record[name] for name in LISTS if isinstance(record.get(name), list)), [])
        return [record] if "memory" in record else found
    return record if isinstance(record, list) else []


def _turn(memory: dict[str, Any], where: str, place: Place) -> Read:
    own = memory.get("metadata")
    more = {"mem0_id": memory.get("id"), **said(memory, OWN_FIELDS), **(own if isinstance(own, dict) else {})}
    # A memory without a role is a fact about the user.
    role = str(memory.get("role"))
    yield from to_turn(
        Spoken(
            place=where,
            index=0,
            conversation_id=str(memory.get("run_id") or memory.get("user_id") or memory.get("agent_id") or place.file),
            chat={
                "role": role if role in ROLES else "user",
                "name": memory.get("actor_id"),
                "content": memory["memory"],
            },
            metadata=said(more, set()),
            times=[memory],
            identity=f"mem0\0{memory.get('id') or memory['memory']}",
            external_id=name_of(memory.get("id")),
        )
    )
