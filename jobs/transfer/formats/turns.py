"""What the formats of others come to: turns of conversations, and what cannot be taken of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from pydantic import TypeAdapter

from deployments.schemas.chat import sound_chat
from deployments.schemas.chat_text import FIELDS, ROLES, is_plain, spoken_fields, text_of
from deployments.schemas.messages import MAX_CONTENT_CHARACTERS, PastTime

MILLISECONDS_FROM = 1e11
TEXT_PARTS = {"text", "input_text", "output_text"}
CONVERSATION_FIELDS = ("conversation_id", "thread_id", "session_id", "id")
_past_time: TypeAdapter[datetime] = TypeAdapter(PastTime)

TIME_FIELDS = ("created_at", "timestamp", "created", "create_time", "createdAt")
# What the chat formats know of a message, and so no metadata.
CHAT_FIELDS = {"role", "name", "content", *FIELDS}


@dataclass(frozen=True)
class Turn:
    """What was said. `place`: where it stands in the file. `identity`: what stays the same when it is read again.

    `index`: the how manieth of its conversation it is. `said_at`: None where the source does not say. `chat`: what of
    it is more than a text. `external_id`: what the source calls it.
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
    chat: dict[str, Any] | None = None
    external_id: str | None = None


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
    """A message as it was read. `chat`: as a chat format has it. `times`: what may name its time, the nearest first.

    `identity`: what stays the same when it is read again, where that is not its place and its words.
    """

    place: str
    index: int
    conversation_id: str
    chat: Mapping[str, Any]
    metadata: dict[str, Any]
    times: Sequence[Mapping[str, Any]]
    identity: str | None = None
    external_id: str | None = None


class _Content(NamedTuple):
    """The text of a message, what is kept beside it, and what could not be taken."""

    text: str
    chat: dict[str, Any] | None = None
    complaint: str | None = None


def to_turn(spoken: Spoken) -> Read:
    """The turn, and what of it is left out."""
    sent = str(spoken.chat.get("role"))
    role = ROLES.get(sent)
    if role is None:
        yield LeftOut(spoken.place, f"nobody has the role {sent[:40]!r}")
        return
    names = [name for name in spoken_fields(spoken.chat) if name == "content" or spoken.chat[name] is not None]
    content = _content_of({name: spoken.chat[name] for name in names})
    if not content.text.strip():
        yield LeftOut(spoken.place, "has no text" + (f": {content.complaint}" if content.complaint else ""))
        return
    if content.complaint:
        yield LeftOut(spoken.place, f"was taken without what is no text: {content.complaint}", whole=False)
    said_at = None
    try:
        said_at = next((at for at in map(time_of, spoken.times) if at is not None), None)
    except ValueError as error:
        yield LeftOut(spoken.place, f"was taken without a time: {error}", whole=False)
    # Without what stands for pictures and calls: so are those known that were taken in when nothing else was.
    words = _words(spoken.chat.get("content")) or content.text
    yield Turn(
        place=spoken.place,
        identity=spoken.identity or f"{spoken.conversation_id}\0{spoken.index}\0{role}\0{words}",
        index=spoken.index,
        conversation_id=spoken.conversation_id,
        role=role,
        name=spoken.chat.get("name"),
        content=content.text,
        metadata=spoken.metadata,
        said_at=said_at,
        chat=content.chat,
        external_id=spoken.external_id,
    )


def _content_of(chat: dict[str, Any]) -> _Content:
    """What cannot be kept whole is taken by its words: nobody can be asked to send it otherwise."""
    if is_plain(chat):
        return _Content(chat["content"])
    try:
        text = text_of(sound_chat(chat))
    except ValueError as error:
        return _Content(_words(chat.get("content")), None, f"{error}")
    if len(text) > MAX_CONTENT_CHARACTERS:
        complaint = f"its text would have more than {MAX_CONTENT_CHARACTERS:,} characters"
        return _Content(_words(chat.get("content")), chat, complaint)
    return _Content(text, chat)


def _words(content: Any) -> str:
    """The texts of a content alone."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    return "\n".join(text for text in map(_word, content) if isinstance(text, str))


def _word(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    return part.get("text") if part.get("type") in TEXT_PARTS else part.get("refusal")


def shown_path(parents: Mapping[str, Any], shown: Any) -> list[str]:
    """The nodes of a tree of messages from its root to the one that was shown last; the others were thrown away."""
    path: dict[str, None] = {}
    while isinstance(shown, str) and shown in parents and shown not in path:
        path[shown] = None
        shown = parents[shown]
    return list(reversed(path))


def conversations_of(
    record: Any, place: Place, fits: Callable[[Any], bool], turns: Callable[[dict[str, Any], str, str], Read]
) -> Read:
    """Yield the turns of a record's conversations.

    `fits`: whether a value is a conversation of the format. `turns`: takes one, where it stands, and a name for one
    that has none.
    """
    conversations = objects_of(record, "conversations")
    if not conversations:
        yield LeftOut(str(place), "holds no conversations")
    for number, conversation in enumerate(conversations, 1):
        where = f"{place}, conversation {number}"
        if fits(conversation):
            yield from turns(conversation, where, f"{place.file}-{place.line}-{number}")
        else:
            yield LeftOut(where, "is no conversation")


def objects_of(record: Any, name: str) -> list[Any]:
    """The objects that a record is a list of, holds one of under a name, or is."""
    if isinstance(record, dict):
        held = record.get(name)
        return held if isinstance(held, list) else [record]
    return record if isinstance(record, list) else []


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


def name_of(value: Any) -> str | None:
    """What the source calls a message, None where it has no name."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip() else None


def said(fields: Mapping[str, Any], besides: set[str]) -> dict[str, Any]:
    """What else a message holds and says something."""
    empty: tuple[Any, ...] = (None, "", [], {})
    return {name: value for name, value in fields.items() if name not in besides and value not in empty}
