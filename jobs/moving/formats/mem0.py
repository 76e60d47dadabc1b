"""mem0's memories, as `get_all` gives them: `{"results": [{"id", "memory", "metadata", "created_at", ...}]}`.

A list of them and a memory in each line are read too.
"""

from dataclasses import replace
from typing import Any

from deployments.schemas import Role
from jobs.moving.formats.turns import ROLES, LeftOut, Place, Read, Spoken, Turn, said, to_turn

NAME = "mem0"
# What the service keeps by itself, and what is only of mem0's own use.
OWN_FIELDS = {"id", "memory", "metadata", "role", "actor_id", "run_id", "created_at", "hash", "score"}


def fits(record: Any) -> bool:
    """Whether a record is of this format."""
    return any(isinstance(each, dict) and "memory" in each for each in _memories(record))


def read(record: Any, place: Place) -> Read:
    """What is remembered in a record."""
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
        results = record.get("results")
        return results if isinstance(results, list) else [record] if "memory" in record else []
    return record if isinstance(record, list) else []


def _turn(memory: dict[str, Any], where: str, place: Place) -> Read:
    own = memory.get("metadata")
    more = {"mem0_id": memory.get("id"), **said(memory, OWN_FIELDS), **(own if isinstance(own, dict) else {})}
    role = str(memory.get("role"))
    spoken = Spoken(
        place=where,
        index=0,
        conversation_id=str(memory.get("run_id") or memory.get("user_id") or memory.get("agent_id") or place.file),
        # A memory without a role is what was learnt of the user.
        role=role if role in ROLES else Role.USER,
        name=memory.get("actor_id"),
        content=memory["memory"],
        metadata=said(more, set()),
        times=[{"created_at": memory.get("created_at")}],
        calls=False,
    )
    identity = f"mem0\0{memory.get('id') or memory['memory']}"
    for each in to_turn(spoken):
        yield replace(each, identity=identity) if isinstance(each, Turn) else each
