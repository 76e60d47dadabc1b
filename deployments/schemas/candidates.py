"""What storage finds for a search or a context, and ranking reads: candidates, the corpus that they are of, turns."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from deployments.schemas.facts import FactDetails
from deployments.schemas.messages import Role
from deployments.schemas.vectors import EmbeddingSpace

TERM_LIMIT = 32
# The mean of a tenant's vectors counts in full once they are many more than this.
MEAN_PRIOR = 10.0
BEGINNING_CHARACTERS = 300


class Hit(Protocol):
    """The fields of an answered message. `metadata`: JSON. `utc_offset`: of the sender's zone, in minutes.

    `has_content`: False where `content` is not the whole of it yet. `fact`: as `described_fact` gives it, None of a
    message.
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
    """A message that one of the sides found, or a turn beside it; the columns of `find_candidates`, in their order.

    `metadata`: JSON. `importance`: 0 to 1, None until scored. `similarity`: cosine to the query, -1 to 1, None while
    there is no embedding; `closeness`: the same after the mean of the tenant's vectors is taken off both. `ranks`:
    ts_rank of each of the query's terms. `term_count`: the message's length. `previous`, `next`: the turns beside it,
    None where there is none or where the message itself is such a turn.
    `utc_offset`: of the sender's zone, in minutes. `has_content`: False where `content` is only its beginning.
    `fact`: as `described_fact` gives it, None of a message.
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
    """What is known of the tenant's messages: how many are counted, and how many terms they have together.

    `embedded`: how many have a vector. `near`: how many of the candidates were found by theirs. `terms`: those of the
    query by which was searched, in the order of a candidate's `ranks`; `holders`: how many messages hold each of them.
    `model`, `dimensions`: the space that is active. `indexed`: the tenant may be searched by the indexes of large ones.
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
        """The space whose vectors are searched."""
        return EmbeddingSpace(self.model, self.dimensions)


NOTHING_KNOWN = Corpus(messages=1.0, term_count=0.0, embedded=0, near=0, terms=(), holders=())


@dataclass(frozen=True)
class Candidates:
    """What was found, in no order, and among what."""

    found: list[Candidate]
    corpus: Corpus = NOTHING_KNOWN

    def without(self, message_id: UUID | None) -> "Candidates":
        """Return the same but for one message."""
        return Candidates([each for each in self.found if each.id != message_id], self.corpus)

    @property
    def hits(self) -> list[UUID]:
        """Those that a side found, without those that only came along as turns beside them."""
        beside = {turn for each in self.found for turn in (each.previous, each.next) if turn is not None}
        return [each.id for each in self.found if each.previous or each.next or each.id not in beside]


class Turn(NamedTuple):
    """Who said what, where and when; the time is in the sender's zone. Or a fact, whose name is its subject."""

    id: UUID
    conversation_id: str
    role: Role
    name: str | None
    content: str
    created_at: datetime
    fact: FactDetails | None = None
