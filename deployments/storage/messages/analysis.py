"""Analysis of messages into terms, by the languages of their tenants."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from deployments.analysis.languages import Language
from deployments.analysis.policy import LanguagePolicy
from deployments.analysis.terms import document_terms
from deployments.analysis.times.english import MONTHS
from deployments.settings import SearchSettings
from deployments.storage.messages.term_vectors import TermVector, term_vector
from deployments.storage.postgres.database import Connection, Connections
from deployments.storage.tenants.languages import Known, TenantLanguages, default_languages

# Longer texts are analysed in a thread, since that takes 30 ms or more.
DIRECT_CHARACTERS = 50_000


class Analyzable(Protocol):
    """The fields of a message that its terms depend on."""

    @property
    def tenant_id(self) -> str:
        """Return the tenant."""

    @property
    def name(self) -> str | None:
        """Return the speaker's name."""

    @property
    def content(self) -> str:
        """Return the content."""

    @property
    def created_at(self) -> datetime:
        """Return the time, in the sender's zone."""

    @property
    def language(self) -> Language | None:
        """Return the language that the sender gave, or None."""


class Said(NamedTuple):
    """The fields of a stored message that its terms depend on."""

    tenant_id: str
    name: str | None
    content: str
    created_at: datetime
    language: Language | None


class Analysis(NamedTuple):
    """A message's terms as a tsvector literal, their number of words, and the tag of the language policy."""

    terms: str
    term_count: int
    tag: str | None


def analysis_columns(analyses: Sequence[Analysis]) -> dict[str, list[object]]:
    """Return the parameters of a statement that stores analyses: a list for each column."""
    return {
        "terms": [each.terms for each in analyses],
        "term_counts": [each.term_count for each in analyses],
        "analyses": [each.tag for each in analyses],
    }


class MessageAnalyzer:
    """Analyses messages of all tenants. Errors: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, languages: TenantLanguages) -> None:
        self._languages = languages

    async def analyze(self, messages: Sequence[Analyzable], connection: Connection | None = None) -> list[Analysis]:
        """Return the terms of each message, in order. `connection`: one that the caller already holds."""
        known = await self._languages.look_up({message.tenant_id for message in messages}, connection)
        characters = sum(len(message.content) for message in messages)
        # The first detection loads a model, which takes a second.
        if characters > DIRECT_CHARACTERS or any(each.policy.detect for each in known.values()):
            return await asyncio.to_thread(_analyses, messages, known)
        return _analyses(messages, known)


def message_analyzer(database: Connections, settings: SearchSettings) -> MessageAnalyzer:
    """Return an analyzer over a database. The settings apply to tenants without their own language."""
    return MessageAnalyzer(TenantLanguages(database, default_languages(settings)))


def indexed_text(said_at: datetime, name: str | None, content: str) -> str:
    """Return the text that is indexed for a message: the day in the sender's zone, the speaker and the content."""
    # Not by `strftime`, whose month names depend on the process' locale.
    day = f"{said_at.day} {MONTHS[said_at.month - 1]} {said_at.year}"
    return f"{day} {content}" if name is None else f"{day} {name} {content}"


def terms_of(message: Analyzable, policy: LanguagePolicy) -> TermVector:
    """Return a message's terms. Pure."""
    languages = policy.of_document(message.content, message.language)
    return term_vector(document_terms(indexed_text(message.created_at, message.name, message.content), languages))


def _analyses(messages: Sequence[Analyzable], known: Mapping[str, Known]) -> list[Analysis]:
    return [
        Analysis(*terms_of(message, known[message.tenant_id].policy), known[message.tenant_id].tag)
        for message in messages
    ]
