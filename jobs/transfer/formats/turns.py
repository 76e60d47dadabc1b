"""The common result of all foreign formats: turns of conversations, and what cannot be imported."""

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
# Fields that the chat formats store in the message, so they are no metadata.
CHAT_FIELDS = {"role", "name", "content", *FIELDS}


@dataclass(frozen=True)
class Turn:
    """A message of a foreign file. `place`: its place in the file. `identity`: stays the same when it is read again.

    `index`: its number in its conversation, from 1. `said_at`: None if the source has no time. `chat`: all that the
    message has beside a text. `external_id`: the source's id of it.
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
    """A message that was not imported as a whole, and why. `whole`: nothing of it was imported."""

    place: str
    reason: str
    whole: bool = True


Read: TypeAlias = Iterator[Turn | LeftOut]


@dataclass(frozen=True)
class Place:
    """The place of a record: its line, and the name of its file."""

    line: int
    file: str

    def __str__(self) -> str:
        return f"line {self.line}"

    def of(self, number: int) -> str:
        """Return the place of one of the record's messages."""
        return f"line {self.line}, message {number}"


@dataclass(frozen=True)
class Spoken:
    """A message as read. `chat`: in a chat format. `times`: objects that may contain its time, the nearest first.

    `identity`: stays the same when it is read again; None: its place and its words identify it.
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
    """The text of a message, its chat fields, and why some of it cannot be imported."""

    text: str
    chat: dict[str, Any] | None = None
    complaint: str | None = None


def to_turn(spoken: Spoken) -> Read:
    """Yield the turn, and what is left out of it."""
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
    # Exclude the placeholders of pictures and calls: earlier releases imported only words, and ids must not change.
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
    """Return the content. What cannot be imported completely is reduced to its words: the sender cannot correct it."""
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
    """Return only the texts of a content."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    return "\n".join(text for text in map(_word, content) if isinstance(text, str))


def _word(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    return part.get("text") if part.get("type") in TEXT_PARTS else part.get("refusal")


def shown_path(parents: Mapping[str, Any], shown: Any) -> list[str]:
    """Return the nodes of a message tree from its root to the one that was shown last, without other branches."""
    path: dict[str, None] = {}
    while isinstance(shown, str) and shown in parents and shown not in path:
        path[shown] = None
        shown = parents[shown]
    return list(reversed(path))


def conversations_of(
    record: Any, place: Place, fits: Callable[[Any], bool], turns: Callable[[dict[str, Any], str, str], Read]
) -> Read:
    """Yield the turns of a record's conversations.

    `fits`: whether a value is a conversation of the format. `turns`: takes one, its place, and a fallback name.
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
    """Return the objects in a record: its items, those in the list under `name`, or the record itself."""
    if isinstance(record, dict):
        held = record.get(name)
        return held if isinstance(held, list) else [record]
    return record if isinstance(record, list) else []


def time_of(fields: Mapping[str, Any]) -> datetime | None:
    """Return the time of a record or message. Raises `ValueError` for an invalid one."""
    for name in TIME_FIELDS:
        value = fields.get(name)
        if value is not None:
            return _to_time(value)
    return None


def _to_time(value: Any) -> datetime:
    """Return a valid message time. A time in the future or before 1970 is an error of the source."""
    try:
        return _past_time.validate_python(_parsed_time(value))
    except (TypeError, ValueError, OverflowError, OSError):
        raise ValueError(f"its time {str(value)[:40]!r} is none") from None


def _parsed_time(value: Any) -> datetime:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value / 1000 if value > MILLISECONDS_FROM else value, UTC)
    when = datetime.fromisoformat(value)
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def conversation_of(fields: Mapping[str, Any], fallback: str) -> str:
    """Return the conversation that a record names, or else the fallback."""
    for name in CONVERSATION_FIELDS:
        value = fields.get(name)
        if isinstance(value, str | int) and str(value).strip():
            return str(value)
    return fallback


def name_of(value: Any) -> str | None:
    """Return the source's name of a message, or None."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip() else None


def said(fields: Mapping[str, Any], excluded: set[str]) -> dict[str, Any]:
    """Return the other fields of a message that have a value."""
    empty: tuple[Any, ...] = (None, "", [], {})
    return {name: value for name, value in fields.items() if name not in excluded and value not in empty}
