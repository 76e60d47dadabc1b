"""Facts that already exist in the place of facts to be stored, and the answers to their callers."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from deployments.errors import ExternalIdConflictError, IdTakenError, MemoryLayerError
from deployments.schemas.facts import Fact, NewFact
from deployments.storage.messages.changed_fields import changed_fields
from deployments.storage.messages.earlier_messages import Earlier, EarlierMessages
from deployments.storage.messages.fact_drafts import FactDraft
from deployments.storage.messages.rows import to_fact
from deployments.storage.postgres.database import Connection
from deployments.storage.postgres.named_queries import load_queries
from deployments.tenancy import Visible

# Fields that a caller sends and reads under the same name.
SAID = (
    *("content", "subject", "metadata", "language", "conversation_id", "user_id", "agent_id", "ttl_seconds"),
    *("valid_to", "external_id"),
)

# Results by the drafts' ids.
Outcomes: TypeAlias = dict[UUID, Fact | MemoryLayerError]


class EarlierFacts:
    """Finds facts that already exist."""

    def __init__(self) -> None:
        self._earlier = EarlierMessages()
        self._facts = load_queries("facts")

    async def read(self, connection: Connection, ids: Sequence[UUID], seen: Visible) -> dict[UUID, Fact]:
        """Return those of the facts that exist."""
        rows = self._facts.read_facts(connection, ids=list(ids), **seen._asdict())
        return {row["id"]: to_fact(row) async for row in rows}

    async def answers(self, connection: Connection, drafts: Sequence[FactDraft]) -> Outcomes:
        """Return the results of drafts whose fact already exists. Delete expired facts in their place.

        The result is the stored fact if an earlier attempt of the same request stored it, or if it is the same under
        its `external_id`. Else it is `ExternalIdConflictError` or `IdTakenError`.
        """
        found = await self._earlier.find(connection, drafts)
        there = [(draft, earlier) for draft, earlier in zip(drafts, found, strict=True) if earlier is not None]
        if not there:
            return {}
        ids = [earlier.row["id"] for _, earlier in there]
        facts = await self.read(connection, ids, Visible(user_id=drafts[0].only_user))
        tenants = sorted({draft.tenant_id for draft, _ in there})
        rows = self._facts.find_superseded(connection, tenant_ids=tenants, ids=ids)
        superseded = {(row["superseded_by"], row["id"]) async for row in rows}
        return {draft.id: _answer(draft, earlier, facts.get(earlier.row["id"]), superseded) for draft, earlier in there}


def _answer(
    draft: FactDraft, earlier: Earlier, fact: Fact | None, superseded: set[tuple[UUID, UUID]]
) -> Fact | MemoryLayerError:
    """Return the result for one draft. `fact` is None if a message or another user's fact has the place."""
    attempt = earlier.row["id"] == draft.id
    if fact is None and attempt:
        return IdTakenError("Another message or fact has this id.")
    if fact is None:
        return ExternalIdConflictError("Another message or fact has this external_id.")
    replaced = {(fact.id, old) for old in draft.new.superseded}
    if attempt or (_says(draft.new, fact, earlier.row) and replaced <= superseded):
        return fact
    return ExternalIdConflictError("Another fact has this external_id: PATCH changes it.")


def _says(new: NewFact, fact: Fact, row: Mapping[str, Any]) -> bool:
    """Return whether a stored fact equals what a caller sends. `row`: of `get_messages`."""
    sent = {name: getattr(new, name) for name in SAID}
    kept = {name: getattr(fact, name) for name in SAID}
    sent |= {"importance_override": new.importance_override, "source_ids": sorted(new.source_ids)}
    kept |= {"importance_override": row["importance_override"], "source_ids": sorted(fact.source_ids)}
    # Omitted times and the expiry depend on when the fact was first stored, so they are not compared.
    if new.valid_from is not None:
        sent["valid_from"], kept["valid_from"] = new.valid_from, fact.valid_from
    if new.ttl_seconds is None:
        sent["expires_at"], kept["expires_at"] = new.expires_at, fact.expires_at
    return not changed_fields(kept, sent)
