"""What the formats of others come to: turns of conversations, and what cannot be taken of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from deployments.schemas import PastTime, Role

MILLISECONDS_FROM = 1e11
ROLES = {
    "user": Role.USER,
    "human": Role.USER,
    "assistant": Role.ASSISTANT,
    "ai": Role.ASSISTANT,
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}
TEXT_PARTS = {"text", "input_text", "output_text"}
CONVERSATION_FIELDS = ("conversation_id", "thread_id", "session_id", "id")
_past_time: TypeAdapter[datetime] = TypeAdapter(PastTime)

TIME_FIELDS = ("created_at", "timestamp", "created", "create_time")


@dataclass(frozen=True)
class Turn:
    """What was said. `place`: where it stands in the file. `identity`: what stays the same when it is read again.

    `index`: the how manieth of its conversation it is. `said_at`: None where the source does not say.
    """

    place: str
    identity: str
    index: int
    conversation_id: str
    role: str
    name: Any
    content: str
    metadata: dict[str, Any]
    said_at: datetime | None


@dataclass(frozen=True)
class LeftOut:
    """What was not taken, and why. `whole`: nothing of the message was."""

    place: str
    reason: str
    whole: bool = True


Read: TypeAlias = Iterator[Turn | LeftOut]


@dataclass(frozen=True)
class Place:
    """Where a record stands: in which line, and of a file of which name."""

    line: int
    file: str

    def __str__(self) -> str:
        return f"line {self.line}"

    def of(self, number: int) -> str:
        """Where one of the record's messages stands."""
        return f"line {self.line}, message {number}"


@dataclass(frozen=True)
class Spoken:
    """A message as it was read. `times`: what may name its time, the nearest first. `calls`: it calls tools."""

    place: str
    index: int
    conversation_id: str
    role: str
    name: Any
    content: Any
    metadata: dict[str, Any]
    times: Sequence[Mapping[str, Any]]
    calls: bool


def to_turn(spoken: Spoken) -> Read:
    """The turn, and what of it is left out."""
    role = ROLES.get(spoken.role)
    if role is None:
        yield LeftOut(spoken.place, f"nobody has the role {spoken.role[:40]!r}")
        return
    text, others = text_of(spoken.content)
    if not text.strip():
        but = ", ".join([*others, *(["calls of tools"] if spoken.calls else [])])
        yield LeftOut(spoken.place, f"has no text, but {but}" if but else "has no text")
        return
    if others:
        yield LeftOut(spoken.place, f"was taken without what is no text: {', '.join(others)}", whole=False)
    said_at = None
    try:
        said_at = next((at for at in map(time_of, spoken.times) if at is not None), None)
    except ValueError as error:
        yield LeftOut(spoken.place, f"was taken without a time: {error}", whole=False)
    yield Turn(
        place=spoken.place,
        identity=f"{spoken.conversation_id}\0{spoken.index}\0{role}\0{text}",
        index=spoken.index,
        conversation_id=spoken.conversation_id,
        role=role,
        name=spoken.name,
        content=text,
        metadata=spoken.metadata,
        said_at=said_at,
    )


def text_of(content: Any) -> tuple[str, list[str]]:
    """The text of a content, which is a string or a list of parts; and the kinds of the parts that are no text."""
    if isinstance(content, str):
        return content, []
    if not isinstance(content, list):
        return "", []
    texts, others = [], []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type") in TEXT_PARTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict) and isinstance(part.get("refusal"), str):
            texts.append(part["refusal"])
        else:
            others.append(str(part.get("type", "unknown")) if isinstance(part, dict) else type(part).__name__)
    return "\n".join(texts), others


def time_of(fields: Mapping[str, Any]) -> datetime | None:
    """The time that a record or message names. Raises `ValueError` where it is none."""
    for name in TIME_FIELDS:
        value = fields.get(name)
        if value is not None:
            return _to_time(value)
    return None


def _to_time(value: Any) -> datetime:
    """A time that a message may have: what was said tomorrow, or before 1970, is a mistake of the source."""
    try:
        return _past_time.validate_python(_parsed_time(value))
    except (TypeError, ValueError, OverflowError, OSError):
        raise ValueError(f"its time {str(value)[:40]!r} is none") from None


def _parsed_time(value: Any) -> datetime:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value / 1000 if value > MILLISECONDS_FROM else value, UTC)
    when = datetime.fromisoformat(value)
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def conversation_of(fields: Mapping[str, Any], otherwise: str) -> str:
    """The conversation that a record names."""
    for name in CONVERSATION_FIELDS:
        value = fields.get(name)
        if isinstance(value, str | int) and str(value).strip():
            return str(value)
    return otherwise


def said(fields: Mapping[str, Any], besides: set[str]) -> dict[str, Any]:
    """What else a message holds and says something."""
    empty: tuple[Any, ...] = (None, "", [], {})
    return {name: value for name, value in fields.items() if name not in besides and value not in empty}
