"""What goes in and out when memories are searched."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, Field, JsonValue

from deployments.schemas import (
    NOT_BLANK,
    Flag,
    Identifier,
    LanguageCode,
    Metadata,
    Role,
    Share,
    TenantId,
    Time,
    Value,
    in_utc,
    not_blank,
    not_boolean,
    not_number,
    storable,
)

MAX_QUERY_CHARACTERS = 100_000
MAX_TOP_K = 100

HIT_EXAMPLE: dict[str, JsonValue] = {
    "message_id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10",
    "conversation_id": "conv-1",
    "role": "user",
    "name": "Ada",
    "content": "I love Python programming",
    "metadata": {"channel": "web"},
    "created_at": "2026-11-23T09:30:00Z",
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
}


def _in_its_zone(when: datetime) -> datetime:
    in_utc(when)
    return when


Weight = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), BeforeValidator(not_boolean)]
Cosine = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False), BeforeValidator(not_boolean)]
ZonedTime = Annotated[AwareDatetime, BeforeValidator(not_number), AfterValidator(_in_its_zone)]
TopK = Annotated[int, Field(ge=1, le=MAX_TOP_K), BeforeValidator(not_boolean)]
Neighbors = Annotated[int, Field(ge=0, le=5), BeforeValidator(not_boolean)]
Query = Annotated[
    str,
    Field(min_length=1, max_length=MAX_QUERY_CHARACTERS, json_schema_extra=NOT_BLANK),
    AfterValidator(storable),
    AfterValidator(not_blank),
]


class Weights(Value):
    """How much each part counts in a score. They need not add up to anything."""

    similarity: Weight = Field(default=0.6, description="How near its meaning is to the query's.")
    words: Weight = Field(default=0.75, description="How much of the query's words it and the turns beside it hold.")
    speaker: Weight = Field(default=0.2, description="The query names who said it, or says I or you.")
    time: Weight = Field(default=1.5, description="The query names a time, and it was said then.")
    importance: Weight = Field(default=0.3, description="How much it says, whatever the query.")
    recency: Weight = Field(default=0.0, description="How new it is: half as much with every 30 days.")
    session: Weight = Field(default=0.55, description="The best score of a message of its conversation.")
    newer: Weight = Field(
        default=1.0, description="Of hits that say nearly the same, the newer first; 0: as they score."
    )
    diversity: Weight = Field(default=1.0, description="Puts back what says word for word what a newer hit says.")


class Filters(Value):
    """Among which messages of a tenant to look, and what a hit must come to."""

    tenant_id: TenantId
    role: Role | None = None
    min_importance: Share | None = None
    created_after: Time | None = Field(default=None, description="Inclusive.")
    created_before: Time | None = Field(default=None, description="Exclusive.")
    include_archived: Flag = False
    min_score: Share = Field(
        default=0.0, description="Leave out what scores less. A score means the same for every query."
    )
    min_similarity: Cosine = Field(default=-1.0, description="Leave out what is embedded and less similar.")
    refresh_ttl: Flag = Field(
        default=False,
        description=(
            "Messages with `ttl_seconds` that are returned live for so long from now on. Needs the scope `write`, too."
        ),
    )


class Criteria(Filters):
    """What a search and a context take alike, when they come with a body."""

    metadata: Metadata | None = Field(default=None, description="Messages whose metadata holds all of this.")
    weights: Weights = Weights()
    asked_at: ZonedTime | None = Field(
        default=None,
        description='When it is asked, in the zone of who asks: what "yesterday" refers to. Now in UTC, if left out.',
    )
    language: LanguageCode | None = Field(
        default=None, description="In which language it is asked. Its words are looked for in the tenant's, too."
    )
    neighbors: Neighbors = Field(default=0, description="How many turns before and after each hit to return.")


class SearchParameters(Filters):
    """What to look for, and among which messages."""

    query: Query = Field(description="What to look for.")
    top_k: TopK = 10
    conversation_id: Identifier | None = None


class SearchRequest(SearchParameters, Criteria):
    """What to look for, among which messages, and how to rank and answer."""

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

    explain: Flag = Field(default=False, description="Say what each score is made of.")


class Neighbor(Value):
    """A turn before or after a hit, in the same conversation."""

    message_id: UUID
    role: Role
    name: str | None
    content: str
    created_at: datetime


class SearchHit(Value):
    """A message that matters to the query."""

    model_config = ConfigDict(json_schema_extra={"examples": [HIT_EXAMPLE]})

    message_id: UUID
    conversation_id: str
    role: Role
    name: str | None
    content: str
    metadata: dict[str, Any]
    created_at: datetime
    score: float = Field(description="What the hits are ordered by: 0 to 1, and comparable between queries.")
    similarity: float | None = Field(
        description="Cosine similarity to the query, -1 to 1; null while the message is not embedded."
    )
    importance: float | None
    explanation: dict[str, float] | None = Field(
        default=None, description="With `explain`: the parts of the score, which add up to it."
    )
    neighbors: list[Neighbor] | None = Field(default=None, description="With `neighbors`: in time order.")


class SearchAnswer(Value):
    """The hits, best first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"total": 1, "degraded": False, "items": [HIT_EXAMPLE]}]})

    total: int = Field(description="How many hits are in this answer.")
    degraded: bool = Field(
        default=False, description="True when the query could not be embedded and words alone decided."
    )
    items: list[SearchHit]
