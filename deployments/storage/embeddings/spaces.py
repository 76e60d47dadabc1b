"""The embedding spaces of the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from deployments.schemas.vectors import EmbeddingSpace, ProviderName, SpaceSource
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries


class OtherState(StrEnum):
    """State of the space beside the active one: it is being filled to become active, or was active and is kept."""

    NEXT = "next"
    PREVIOUS = "previous"


@dataclass(frozen=True)
class Spaces:
    """The active space, whose vectors are searched, and the other space with its state, or None."""

    active: SpaceSource
    other: SpaceSource | None = None
    other_state: OtherState | None = None


class EmbeddingSpaceRepository:
    """Reads the embedding spaces. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("embedding_spaces")

    async def get(self) -> Spaces | None:
        """Return the spaces, or None if no service has used the database yet."""
        async with self._database.connection() as connection:
            row = await self._queries.get_spaces(connection)
        return row and to_spaces(row)

    async def note_trouble(self, trouble: str) -> None:
        """Store one sentence about why the space that is being filled cannot be used here."""
        async with self._database.connection() as connection:
            await self._queries.note_trouble(connection, trouble=trouble)


def to_spaces(row: Mapping[str, Any]) -> Spaces:
    """Convert a row of `get_spaces`."""
    active = _source(row["provider"], row["model"], row["dimensions"], row["base_url"])
    if row["other_state"] is None:
        return Spaces(active)
    other = _source(row["other_provider"], row["other_model"], row["other_dimensions"], row["other_base_url"])
    return Spaces(active, other, OtherState(row["other_state"]))


def _source(provider: str, model: str, dimensions: int, base_url: str | None) -> SpaceSource:
    return SpaceSource(ProviderName(provider), EmbeddingSpace(model, dimensions), base_url)
