"""Messages that already exist under the ids or external ids of messages to be stored."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from deployments.errors import ExternalIdConflictError, IdTakenError, MemoryLayerError
from deployments.schemas.facts import Kind
from deployments.schemas.messages import Message, NewMessage
from deployments.storage.messages.changed_fields import changed_fields
from deployments.storage.messages.drafts import Draft
from deployments.storage.messages.rows import parsed, to_message
from deployments.storage.postgres.database import Connection
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.postgres.zones import offset_minutes

# Fields that a caller sends, except for times and names.
SAID = (
    *("conversation_id", "role", "name", "content", "metadata", "importance_override", "language"),
    *("user_id", "agent_id", "ttl_seconds"),
)


class Nameable(Protocol):
    """Anything with the names of a message: messages, and drafts of facts."""

    @property
    def id(self) -> UUID | None: ...
    @property
    def external_id(self) -> str | None: ...


class Storable(Nameable, Protocol):
    """A `Nameable` with its tenant."""

    @property
    def tenant_id(self) -> str: ...


class Earlier(NamedTuple):
    """A message or a fact that already exists: a row of `get_messages`."""

    row: Mapping[str, Any]

    @property
    def message(self) -> Message:
        """Return the stored message."""
        return to_message(self.row)

    def is_attempt_of(self, message: Message, new: NewMessage) -> bool:
        """Return whether an earlier attempt of the same request stored it. An id from the caller is no proof."""
        return new.id is None and self.row["id"] == message.id

    def hidden_from(self, draft: Draft) -> MemoryLayerError | None:
        """Return the error for a draft if this message belongs to a user whom the caller may not see, else None."""
        if draft.only_user in {None, self.row["user_id"]}:
            return None
        if self._has_name_of(draft.new):
            return ExternalIdConflictError("Another message has this external_id.")
        return IdTakenError("Another message has this id.")

    def answer_to(self, message: Message, new: NewMessage) -> Message | MemoryLayerError:
        """Return the stored message if the caller sends the same again, else the error."""
        if self.is_attempt_of(message, new):
            return self.message
        if self.row["kind"] == Kind.FACT:
            named = self._has_name_of(new)
            return (
                ExternalIdConflictError("A fact has this external_id.")
                if named
                else IdTakenError("A fact has this id.")
            )
        if not self._has_name_of(new):
            another: MemoryLayerError = IdTakenError("Another message has this id.")
            same_name = self.row["external_id"] == new.external_id
        else:
            another = ExternalIdConflictError("Another message has this external_id: PUT replaces it.")
            same_name = new.id in {None, self.row["id"]}
        changed = changes(self.row, replaced(self.row, message, new)) - {"archived"}
        # The expiry depends on when the message was first stored.
        if new.ttl_seconds is not None:
            changed.discard("expires_at")
        return self.message if same_name and not changed else another

    def _has_name_of(self, new: NewMessage) -> bool:
        return new.external_id is not None and self.row["external_id"] == new.external_id


class EarlierMessages:
    """Finds messages that already exist."""

    def __init__(self) -> None:
        self._queries = load_queries("named_messages")

    async def find(self, connection: Connection, messages: Sequence[Storable]) -> list[Earlier | None]:
        """Return the row in the place of each message, or None, in order. Delete expired ones."""
        found: dict[object, Earlier] = {}
        for tenant_id in sorted({message.tenant_id for message in messages}):
            asked = {"tenant_id": tenant_id, **names_of([each for each in messages if each.tenant_id == tenant_id])}
            rows = [row async for row in self._queries.get_messages(connection, user_id=None, **asked)]
            for row in rows:
                found[tenant_id, row["id"]] = found[tenant_id, row["external_id"]] = Earlier(dict(row))
        places = [
            (message.external_id and found.get((message.tenant_id, message.external_id)))
            or found.get((message.tenant_id, message.id))
            for message in messages
        ]
        await self._delete_expired(connection, [each for each, at in zip(messages, places, strict=True) if at is None])
        return [place or None for place in places]

    async def _delete_expired(self, connection: Connection, messages: Sequence[Storable]) -> None:
        for tenant_id in sorted({message.tenant_id for message in messages}):
            asked = {"tenant_id": tenant_id, **names_of([each for each in messages if each.tenant_id == tenant_id])}
            async for _ in self._queries.delete_messages(connection, **asked, user_id=None, expired=True):
                pass


def names_of(messages: Sequence[Nameable]) -> dict[str, list[Any]]:
    """Return the parameters of `get_messages` for a lookup by ids and external ids."""
    return {
        "ids": [each.id for each in messages],
        "external_ids": [each.external_id for each in messages if each.external_id is not None],
    }


def replaced(row: Mapping[str, Any], message: Message, new: NewMessage) -> dict[str, Any]:
    """Return a row after a message has replaced it: `created_at` stays unless the caller gives one."""
    fields = {**row, **{name: getattr(new, name) for name in SAID}}
    fields |= {"chat": message.chat, "expires_at": message.expires_at, "archived": False}
    if new.created_at is not None:
        fields |= {"created_at": new.created_at, "utc_offset": offset_minutes(new.created_at)}
    return fields


def changes(row: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the names of the fields that differ between a row and its replacement."""
    return changed_fields(parsed(row), after)
