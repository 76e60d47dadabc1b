"""The fields of a stored message after a change."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from deployments.errors import InvalidRequestError
from deployments.schemas.chat import ChatChange, chat_after
from deployments.schemas.filters.json_values import identity
from deployments.schemas.messages import MessageChange, MetadataMode
from deployments.schemas.metadata import merge_patch, sound_metadata
from deployments.storage.messages.expiry import expiry_of


def patched(before: Mapping[str, Any], change: MessageChange, now: datetime) -> dict[str, Any]:
    """Return the fields of a message after a change at the time `now`.

    Raises `InvalidRequestError` if merged metadata exceeds its limits.
    """
    fields = change.model_dump(exclude_unset=True, exclude={"metadata_mode", "parts"})
    if not fields.keys().isdisjoint({"ttl_seconds", "expires_at"}):
        fields |= {"ttl_seconds": change.ttl_seconds, "expires_at": expiry_of(change, now)}
    if change.metadata is not None and change.metadata_mode is MetadataMode.MERGE:
        fields["metadata"] = merge_patch(before["metadata"], change.metadata)
        try:
            sound_metadata(fields["metadata"])
        except ValueError as error:
            raise InvalidRequestError(f"The merged metadata {error}.") from None
    parts = change.parts if isinstance(change, ChatChange) else None
    said = {name: value for name, value in fields.items() if value != before[name] or (name == "content" and parts)}
    return {**before, **fields, "chat": chat_after(before, said, parts)}


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the names of fields that differ as JSON: Python's True equals 1. 1e16 is stored as an integer."""
    return {name for name in after if identity(before[name]) != identity(after[name])}
