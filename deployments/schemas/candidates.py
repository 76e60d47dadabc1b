"""Results of storage that ranking and contexts read: candidates, corpus statistics, turns."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from deployments.schemas.facts import FactDetails
from deployments.schemas.messages import Role
from deployments.schemas.vectors import EmbeddingSpace

TERM_LIMIT = 32
# Shrinks the mean of a tenant's vectors towards 0, with the weight of this many zero vectors.
MEAN_PRIOR = 10.0
BEGINNING_CHARACTERS = 300


class Hit(Protocol):
    """The fields of a hit. `metadata`: JSON. `utc_offset`: of the sender's time zone, in minutes.

    `has_content`: False if the whole `content` is not read yet. `fact`: JSON from `described_fact`, None for a message.
    """

    @property
    def id(self) -> UUID: ...
    @property
    def conversation_id(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def content(self) -> str: ...
    @property
    def has_content(self) -> bool: ...
    @property
    def metadata(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def utc_offset(self) -> int: ...
    @property
    def importance(self) -> float | None: ...
    @property
    def similarity(self) -> float | None: ...
    @property
    def user_id(self) -> str | None: ...
    @property
    def agent_id(self) -> str | None: ...
    @property
    def external_id(self) -> str | None: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def fact(self) -> str | None: ...


class Candidate(NamedTuple):
    """A message found by words or by vector, or a neighboring turn: the columns of `find_candidates`, in their order.

    `metadata`: JSON. `importance`: 0 to 1, None until scored. `similarity`: cosine to the query, -1 to 1, None without
    an embedding. `closeness`: the cosine after subtracting the tenant's mean vector from both. `ranks`: ts_rank of each
    query term. `term_count`: the message's length. `previous`, `next`: ids of the neighboring turns, None if there is
    none, or if the message is only such a neighbor. `utc_offset`: of the sender's time zone, in minutes.
    `has_content`: False if `content` is only the beginning. `fact`: JSON from `described_fact`, None for a message.
    """

    id: UUID
    conversation_id: str
    role: str
    name: str | None
    content: str
    metadata: str
    created_at: datetime
    importance: float | None
    similarity: float | None
    closeness: float | None
    ranks: Sequence[float]
    term_count: int
    previous: UUID | None
    next: UUID | None
    utc_offset: int = 0
    has_content: bool = True
    user_id: str | None = None
    agent_id: str | None = None
    external_id: str | None = None
    expires_at: datetime | None = None
    fact: str | None = None


class Corpus(NamedTuple):
    """Statistics of a tenant's messages: their number, and their total number of terms.

    `embedded`: messages with a vector. `near`: candidates found by their vector. `terms`: the query terms searched, in
    the order of a candidate's `ranks`. `holders`: document frequency of each term. `model`, `dimensions`: the active
    space. `indexed`: whether the indexes for large tenants may be used.
    """

    messages: float
    term_count: float
    embedded: int
    near: int
    terms: Sequence[str]
    holders: Sequence[int]
    model: str = ""
    dimensions: int = 0
    indexed: bool = False

    @property
    def space(self) -> EmbeddingSpace:
        """Return the space of the searched vectors."""
        return EmbeddingSpace(self.model, self.dimensions)


NOTHING_KNOWN = Corpus(messages=1.0, term_count=0.0, embedded=0, near=0, terms=(), holders=())


@dataclass(frozen=True)
class Candidates:
    """The candidates of a search, unordered, and statistics of the tenant's messages."""

    found: list[Candidate]
    corpus: Corpus = NOTHING_KNOWN

    def without(self, message_id: UUID | None) -> "Candidates":
        """Return the candidates without one message."""
        return Candidates([each for each in self.found if each.id != message_id], self.corpus)

    @property
    def hits(self) -> list[UUID]:
        """Return the ids found by words or by vector, without turns that are only neighbors of those."""
        beside = {turn for each in self.found for turn in (each.previous, each.next) if turn is not None}
        return [each.id for each in self.found if each.previous or each.next or each.id not in beside]


class Turn(NamedTuple):
    """A message with its time in the sender's zone, or a fact with its subject as `name`."""

    id: UUID
    conversation_id: str
    role: Role
    name: str | None
    content: str
    created_at: datetime
    fact: FactDetails | None = None
