"""What goes in and out when a context is asked for."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue

from deployments.schemas.facts import FactDetails, Kind
from deployments.schemas.message_references import OfMessage
from deployments.schemas.messages import Role, Share, StoredIdentifier, Value, not_boolean
from deployments.schemas.search import MAX_TOP_K, Criteria, Query

MAX_TOKEN_BUDGET = 1_000_000
MAX_RECENT_TURNS = 100
# It keeps all of the evidence among the first 50 hits on LoCoMo and LongMemEval. A context for "ok, thanks" holds none
# or one of 34 memories of everyday life (docs/decisions/0029-scores.md).
LEAST_SCORE = 0.1

CONTEXT_EXAMPLE: dict[str, JsonValue] = {  # nosec B105
    "token_budget": 2000,
    "tokens_used": 68,
    "degraded": False,
    "omitted": 0,
    "items": [
        {
            "id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10",
            "message_id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10",
            "conversation_id": "conv-1",
            "role": "user",
            "name": "Ada",
            "content": "I love Python programming",
            "truncated": False,
            "created_at": "2026-11-23T09:30:00Z",
            "kind": "message",
            "fact": None,
            "tokens": 12,
            "reasons": ["relevant"],
            "score": 0.97,
        },
        {
            "id": "0199d7ca-5652-7d11-8a52-61c1b0e6f0a2",
            "message_id": "0199d7ca-5652-7d11-8a52-61c1b0e6f0a2",
            "conversation_id": "conv-2",
            "role": "user",
            "name": "Ada",
            "content": "Which language shall I use?",
            "truncated": False,
            "created_at": "2026-11-24T09:30:00Z",
            "kind": "message",
            "fact": None,
            "tokens": 12,
            "reasons": ["recent", "relevant"],
            "score": 0.41,
        },
    ],
    "text": (
        "[2026-11-23]\nAda: I love Python programming\n"
        "[2026-11-24, this conversation]\nAda: Which language shall I use?"
    ),
}


class Scope(StrEnum):
    """Where memories are looked for."""

    TENANT = "tenant"
    CONVERSATION = "conversation"


class Reason(StrEnum):
    """Why a message is in a context."""

    RECENT = "recent"
    RELEVANT = "relevant"
    NEIGHBOR = "neighbor"


class ContextRequest(Criteria):
    """For which conversation a context is wanted, how large it may be, and what is to go into it.

    The filters, `metadata`, `weights`, `asked_at`, `language` and `top_k` are those of a search: they choose memories,
    while the recent turns are whatever was said last.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {  # nosec B105
                    "tenant_id": "acme",
                    "conversation_id": "conv-2",
                    "query": "Which language does Ada like?",
                    "token_budget": 2000,
                }
            ]
        }
    )

    conversation_id: StoredIdentifier = Field(
        description="The conversation that goes on. It may be one without messages."
    )
    query: Query | None = Field(
        default=None,
        description="What memories are looked for. Left out: what the user said last in this conversation.",
    )
    token_budget: Annotated[int, Field(ge=0, le=MAX_TOKEN_BUDGET), BeforeValidator(not_boolean)] = Field(
        default=2_000, description="`text` never takes more, by the estimate that `docs/context.md` describes."
    )
    recent_turns: Annotated[int, Field(ge=0, le=MAX_RECENT_TURNS), BeforeValidator(not_boolean)] = Field(
        default=20, description="At most so many of the conversation's last turns."
    )
    recent_share: Share = Field(
        default=0.5,
        description="The share of the budget that is the recent turns' own; what one side leaves, the other may use.",
    )
    top_k: Annotated[int, Field(ge=0, le=MAX_TOP_K), BeforeValidator(not_boolean)] = Field(
        default=50,
        description=(
            "At most so many memories besides the recent turns; it is the budget that is meant to decide. "
            "0: nothing is looked for."
        ),
    )
    scope: Scope = Field(default=Scope.TENANT, description="Look in all conversations of the tenant, or in this one.")
    min_score: Share = Field(
        default=LEAST_SCORE,
        description="Leave out memories that score less: what has next to nothing to do with the query is no context.",
    )


class ContextItem(OfMessage):
    """A message or a fact of the context."""

    conversation_id: str
    role: Role
    name: str | None
    content: str = Field(description="Where `truncated`, what of it is in `text`, with `[...]` where it was cut.")
    truncated: bool = Field(default=False, description="True when the message was cut to fit into the budget.")
    created_at: datetime
    kind: Kind = Kind.MESSAGE
    fact: FactDetails | None = Field(default=None, description="Null for a message.")
    tokens: int = Field(description="What its line in `text` takes.")
    reasons: list[Reason]
    score: float | None = Field(default=None, description="The search's score, where it is relevant.")


class ContextAnswer(Value):
    """The facts and messages of the context, each in time order, and the same as text for a prompt."""

    model_config = ConfigDict(json_schema_extra={"examples": [CONTEXT_EXAMPLE]})

    token_budget: int
    tokens_used: int = Field(description="What `text` takes as a whole.")
    degraded: bool = Field(description="True when the query could not be embedded and words alone decided.")
    omitted: int = Field(description="How many messages are not in it, even in part, for want of budget.")
    items: list[ContextItem]
    text: str = Field(
        description=(
            "`[Facts]` and a line for each, where there are some; a line for the day where it changes, then "
            "`name: content` for each message."
        )
    )
