"""Drafts of facts: references to sources and superseded facts, validity, and statement parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from deployments.errors import InvalidRequestError
from deployments.schemas.facts import Kind, NewFact
from deployments.storage.messages.analysis import Analysis, Said, analysis_columns
from deployments.storage.messages.expiry import expiry_of
from deployments.tenancy import bound_user


@dataclass(frozen=True)
class FactDraft:
    """A fact to be stored, the request that sent it, and its place in the request.

    `only_user`: the only user whose messages and facts may be its sources or superseded by it; None: any.
    """

    id: UUID
    new: NewFact
    request_id: str | None
    place: int = 0
    only_user: str | None = None

    @property
    def tenant_id(self) -> str:
        """Return the tenant."""
        return self.new.tenant_id

    @property
    def external_id(self) -> str | None:
        """Return the caller's own name for the fact."""
        return self.new.external_id


class Held(NamedTuple):
    """A message or a fact that is locked until the transaction ends. `since`: its time, or the fact's `valid_from`."""

    kind: Kind
    since: datetime


# Locked messages and facts by tenant and id.
Known: TypeAlias = Mapping[tuple[str, UUID], Held]


def fact_draft(new: NewFact, request_id: str | None, fact_id: UUID | None = None, place: int = 0) -> FactDraft:
    """Return a draft of a new fact. `fact_id`: the same id for each attempt to store it, if there may be several."""
    return FactDraft(fact_id or uuid7(), new, request_id, place, bound_user())


def in_lock_order(drafts: Sequence[FactDraft]) -> list[FactDraft]:
    """Return drafts in a global lock order: inserts of the same names wait for each other."""
    return sorted(drafts, key=lambda draft: (draft.tenant_id, draft.external_id or "", draft.id.int))


def said(draft: FactDraft, now: datetime) -> Said:
    """Return the fields that a fact's terms depend on."""
    return Said(draft.tenant_id, draft.new.subject, draft.new.content, now, draft.new.language)


def refusal(new: NewFact, known: Known, now: datetime) -> InvalidRequestError | None:
    """Return why a fact cannot be stored, or None: a reference does not exist, or it ends before it begins."""
    try:
        check_named(new.tenant_id, new.source_ids, Kind.MESSAGE, known)
        check_named(new.tenant_id, new.superseded, Kind.FACT, known)
    except InvalidRequestError as error:
        return error
    if new.valid_to is not None and new.valid_to <= since(new, known, now):
        return InvalidRequestError("valid_to must be after valid_from: say since when it held.")
    return None


def check_named(tenant_id: str, ids: Sequence[UUID], kind: Kind, known: Known) -> None:
    """Raise `InvalidRequestError` unless all exist and are of this kind. Those of other tenants count as missing."""
    unknown = [each for each in ids if (held := known.get((tenant_id, each))) is None or held.kind is not kind]
    if unknown:
        raise InvalidRequestError(f"There is no such {kind}.", {f"unknown_{kind}s": [str(each) for each in unknown]})


def since(new: NewFact, known: Known, now: datetime) -> datetime:
    """Return since when a fact is valid: the time that was sent, else that of its newest source, else now."""
    if new.valid_from is not None:
        return new.valid_from
    return max((known[new.tenant_id, each].since for each in new.source_ids), default=now).astimezone(UTC)


def store_parameters(
    drafts: Sequence[FactDraft], analyses: Mapping[UUID, Analysis], known: Known, now: datetime
) -> dict[str, object]:
    """Return the parameters of `store_facts`: a list for each column."""
    new = [d.new for d in drafts]
    sources = [(d.id, source) for d in drafts for source in d.new.source_ids]
    return {
        "ids": [d.id for d in drafts],
        "tenant_ids": [n.tenant_id for n in new],
        # Callers cannot give a conversation an empty id.
        "conversation_ids": [n.conversation_id or "" for n in new],
        "subjects": [n.subject for n in new],
        "contents": [n.content for n in new],
        "metadatas": [orjson.dumps(n.metadata).decode() for n in new],
        "overrides": [n.importance_override for n in new],
        "languages": [n.language for n in new],
        **analysis_columns([analyses[d.id] for d in drafts]),
        "request_ids": [d.request_id for d in drafts],
        "external_ids": [n.external_id for n in new],
        "user_ids": [n.user_id for n in new],
        "agent_ids": [n.agent_id for n in new],
        "ttls": [n.ttl_seconds for n in new],
        "expiries": [expiry_of(n, now) for n in new],
        "valid_froms": [since(n, known, now) for n in new],
        "valid_tos": [n.valid_to for n in new],
        "fact_ids": [fact for fact, _ in sources],
        "message_ids": [source for _, source in sources],
        "now": now,
    }
