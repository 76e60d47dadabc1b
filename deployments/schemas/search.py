"""Request and response models of searches and listings."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    computed_field,
)
from pydantic_core import from_json

from deployments.schemas.facts import FactDetails, Kind
from deployments.schemas.filters.containment import without_operators
from deployments.schemas.filters.where import Where, parse_where
from deployments.schemas.message_references import OfMessage
from deployments.schemas.messages import (
    MAX_PAGE,
    ExternalId,
    Flag,
    LanguageCode,
    Role,
    Share,
    StoredIdentifier,
    TenantId,
    Time,
    UserId,
    Value,
    in_utc,
    not_blank,
    not_boolean,
    not_number,
    storable,
)
from deployments.schemas.metadata import MAX_METADATA_BYTES, sound_metadata, sound_object
from deployments.schemas.name_characters import NOT_BLANK

MAX_QUERY_CHARACTERS = 100_000
MAX_TOP_K = 100
# JSON depth of a `where`: each level of `and` or `or` is an object and a list, and operands may be nested too.
MAX_WHERE_LEVELS = 32

HIT_EXAMPLE: dict[str, JsonValue] = {
    "id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10",
    "message_id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10",
    "conversation_id": "conv-1",
    "role": "user",
    "name": "Ada",
    "content": "I love Python programming",
    "metadata": {"channel": "web"},
    "created_at": "2026-11-23T09:30:00Z",
    "kind": "message",
    "fact": None,
    "score": 0.71,
    "similarity": 0.81,
    "importance": 0.62,
    "explanation": {
        "similarity": 0.19,
        "words": 0.22,
        "speaker": 0.08,
        "time": 0.0,
        "importance": 0.07,
        "recency": 0.0,
        "session": 0.15,
        "newer": 0.0,
        "repetition": 0.0,
    },
    "neighbors": None,
    "external_id": None,
    "user_id": "ada",
    "agent_id": None,
    "expires_at": None,
}


def _as_list(value: object) -> object:
    """Return a single kind of a query string as a list."""
    return [value] if isinstance(value, str) else value


def _each_once(kinds: list[Kind]) -> list[Kind]:
    if len(set(kinds)) < len(kinds):
        raise ValueError("must name each once")
    return kinds


def _in_its_zone(when: datetime) -> datetime:
    in_utc(when)
    return when


Weight = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), BeforeValidator(not_boolean)]
Cosine = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False), BeforeValidator(not_boolean)]
ZonedTime = Annotated[AwareDatetime, BeforeValidator(not_number), AfterValidator(_in_its_zone)]


def _parsed_where(given: object) -> Where:
    """Return a parsed tree unchanged, and parse any other value."""
    if isinstance(given, Where):
        return given
    return parse_where(sound_object(given, MAX_METADATA_BYTES, MAX_WHERE_LEVELS))


def _from_json(given: object) -> object:
    """Return the value of a query parameter, parsed from JSON. Raises `ValueError`."""
    if not isinstance(given, str):
        return given
    try:
        return from_json(given, allow_inf_nan=False)
    except ValueError:
        raise ValueError("must be JSON") from None


def _metadata_filter(given: object) -> dict[str, Any]:
    return without_operators(sound_metadata(given))


METADATA = "Messages whose metadata holds all of this. For conditions see `where`."
WHERE = "Conditions on fields and metadata, as docs/filters.md says."
AS_JSON = "As JSON."
WHERE_EXAMPLE: dict[str, JsonValue] = {"priority": {"gte": 4}, "or": [{"role": "user"}, {"reviewed": True}]}
_OBJECT: dict[str, JsonValue] = {"type": "object", "additionalProperties": True}
_JSON_TEXT: dict[str, JsonValue] = {"type": "string", "contentMediaType": "application/json"}
MetadataFilter = Annotated[dict[str, Any], PlainValidator(_metadata_filter), WithJsonSchema(_OBJECT)]
MetadataInQuery = Annotated[
    dict[str, Any], PlainValidator(lambda given: _metadata_filter(_from_json(given))), WithJsonSchema(_JSON_TEXT)
]
_ParsedWhere = Annotated[Where, PlainSerializer(lambda where: where)]
WhereFilter = Annotated[_ParsedWhere, PlainValidator(_parsed_where), WithJsonSchema(_OBJECT)]
WhereInQuery = Annotated[
    _ParsedWhere, PlainValidator(lambda given: _parsed_where(_from_json(given))), WithJsonSchema(_JSON_TEXT)
]
TopK = Annotated[int, Field(ge=1, le=MAX_TOP_K), BeforeValidator(not_boolean)]
Neighbors = Annotated[int, Field(ge=0, le=5), BeforeValidator(not_boolean)]
Kinds = Annotated[
    list[Kind],
    Field(min_length=1, json_schema_extra={"uniqueItems": True}),
    BeforeValidator(_as_list),
    AfterValidator(_each_once),
]
Query = Annotated[
    str,
    Field(min_length=1, max_length=MAX_QUERY_CHARACTERS, json_schema_extra=NOT_BLANK),
    AfterValidator(storable),
    AfterValidator(not_blank),
]


class Weights(Value):
    """The weight of each part of a score. Their sum does not matter."""

    similarity: Weight = Field(default=0.6, description="Similarity of its meaning to the query's.")
    words: Weight = Field(default=0.75, description="Share of the query's words in it and its neighboring turns.")
    speaker: Weight = Field(default=0.2, description="The query mentions its speaker by name, or as I or you.")
    time: Weight = Field(default=1.5, description="The query names a time, and it was said then.")
    importance: Weight = Field(default=0.3, description="Query-independent importance of the message.")
    recency: Weight = Field(default=0.0, description="Its recency, halved with every 30 days of age.")
    session: Weight = Field(default=0.55, description="The best score of a message of its conversation.")
    newer: Weight = Field(
        default=1.0, description="Ranks the newer first among hits with nearly the same text; 0: by score only."
    )
    diversity: Weight = Field(default=1.0, description="Ranks down a hit with the same text as a newer hit.")


class MessageFilters(Value):
    """Filters on a tenant's messages, for searches, contexts and listings."""

    tenant_id: TenantId
    role: Role | None = None
    user_id: UserId = Field(default=None, validate_default=True, description="Messages of this user.")
    agent_id: StoredIdentifier | None = Field(default=None, description="Messages of this agent.")
    conversation_prefix: StoredIdentifier | None = Field(
        default=None, description="A namespace: `a/b` contains the conversations `a/b` and `a/b/c`, but not `a/bc`."
    )
    min_importance: Share | None = Field(default=None, description="Messages that are not scored yet pass.")
    created_after: Time | None = Field(default=None, description="Inclusive.")
    created_before: Time | None = Field(default=None, description="Exclusive.")
    refresh_ttl: Flag = Field(
        default=False,
        description=("Restart `ttl_seconds` of the returned messages now. Also needs the scope `write`."),
    )


class Filters(MessageFilters):
    """Filters on a tenant's messages, and minimum scores of hits."""

    include_archived: Flag = False
    kinds: Kinds | None = Field(default=None, description="Only messages, or only facts. Left out: both.")
    as_of: Time | None = Field(
        default=None, description="Search the state at this time: messages said by then, and facts that held then."
    )
    min_score: Share = Field(
        default=0.0, description="Leave out hits that score less. Scores are comparable between queries."
    )
    min_similarity: Cosine = Field(default=-1.0, description="Leave out embedded messages that are less similar.")


class Order(StrEnum):
    """Time order of a listing."""

    NEWEST_FIRST = "desc"
    OLDEST_FIRST = "asc"


class MessageListing(MessageFilters):
    """Filters, order and page of a listing of messages."""

    conversation_id: StoredIdentifier | None = None
    name: StoredIdentifier | None = Field(default=None, description="Messages of the speaker with this name.")
    external_id: ExternalId | None = Field(default=None, description="The message with this external id.")
    include_archived: Flag = True
    metadata: MetadataInQuery | None = Field(default=None, description=f"{METADATA} {AS_JSON}")
    where: WhereInQuery | None = Field(default=None, description=f"{WHERE} {AS_JSON}")
    order: Order = Field(default=Order.NEWEST_FIRST, description="desc: newest first; asc: oldest first.")
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE), BeforeValidator(not_boolean)] = 50
    cursor: Annotated[str | None, Field(max_length=1024, description="Of the page before, with the same filters.")] = (
        None
    )


class Criteria(Filters):
    """The common fields of search and context requests with a body."""

    metadata: MetadataFilter | None = Field(default=None, description=METADATA)
    where: WhereFilter | None = Field(default=None, description=WHERE, examples=[WHERE_EXAMPLE])
    weights: Weights = Weights()
    asked_at: ZonedTime | None = Field(
        default=None,
        description='The time of asking, in the zone of the asker: "yesterday" refers to it. Now in UTC, if left out.',
    )
    language: LanguageCode | None = Field(
        default=None, description="The language of the query. Its words are also searched in the tenant's language."
    )
    neighbors: Neighbors = Field(default=0, description="How many turns before and after each hit to return.")


class SearchParameters(Filters):
    """A query, and filters on messages."""

    query: Query = Field(description="What to look for.")
    top_k: TopK = 10
    conversation_id: StoredIdentifier | None = None
    metadata: MetadataInQuery | None = Field(default=None, description=f"{METADATA} {AS_JSON}")
    where: WhereInQuery | None = Field(default=None, description=f"{WHERE} {AS_JSON}")


class SearchRequest(SearchParameters, Criteria):
    """A query, filters on messages, and options for ranking and the answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tenant_id": "acme",
                    "query": "Which language does Ada like?",
                    "top_k": 5,
                    "metadata": {"channel": "web"},
                    "explain": True,
                }
            ]
        }
    )

    metadata: MetadataFilter | None = Field(default=None, description=METADATA)
    where: WhereFilter | None = Field(default=None, description=WHERE, examples=[WHERE_EXAMPLE])
    explain: Flag = Field(default=False, description="Return the parts of each score.")

    @property
    def facts_as_of(self) -> datetime | None:
        """Return the time at which facts must hold to be found, or None for any time."""
        return self.as_of


class MemorySearch(SearchRequest):
    """A search for a context, which finds only facts that hold."""

    facts_hold_at: datetime

    @property
    def facts_as_of(self) -> datetime | None:
        """Return the time at which facts must hold to be found."""
        return self.as_of or self.facts_hold_at


class Neighbor(OfMessage):
    """A turn before or after a hit, in the same conversation."""

    role: Role
    name: str | None
    content: str
    created_at: datetime


class SearchHit(OfMessage):
    """A message or a fact that is relevant to the query."""

    model_config = ConfigDict(json_schema_extra={"examples": [HIT_EXAMPLE]})

    conversation_id: str = Field(description="Empty for a fact without a conversation.")
    role: Role = Field(description="`system` for a fact.")
    name: str | None = Field(description="The speaker's name, or the subject of a fact.")
    content: str
    metadata: dict[str, Any]
    created_at: datetime
    kind: Kind = Kind.MESSAGE
    fact: FactDetails | None = Field(default=None, description="Null for a message.")
    score: float = Field(description="The hits are ordered by it: 0 to 1, and comparable between queries.")
    similarity: float | None = Field(
        description="Cosine similarity to the query, -1 to 1; null while the message is not embedded."
    )
    importance: float | None
    explanation: dict[str, float] | None = Field(
        default=None, description="With `explain`: the parts of the score, which add up to it."
    )
    neighbors: list[Neighbor] | None = Field(default=None, description="With `neighbors`: in time order.")
    external_id: str | None = Field(default=None, description="The caller's own name for the message.")
    user_id: str | None = None
    agent_id: str | None = None
    expires_at: datetime | None = Field(default=None, description="From this time on it is not found.")


class SearchAnswer(Value):
    """The hits, best first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"count": 1, "total": 1, "degraded": False, "items": [HIT_EXAMPLE]}]}
    )

    total: int = Field(
        description="`count` by its old name. It is not the number of matches: every message matches to some degree.",
        json_schema_extra={"deprecated": True},
    )
    degraded: bool = Field(
        default=False, description="True when the query could not be embedded and only its words were searched."
    )
    items: list[SearchHit]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def count(self) -> int:
        """Number of hits in this answer, at most `top_k`."""
        return len(self.items)
