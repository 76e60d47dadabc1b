"""Request and response models of contexts."""

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
# This score keeps all evidence among the first 50 hits on LoCoMo and LongMemEval, while a context for "ok, thanks"
# holds at most one of 34 everyday memories (docs/decisions/0029-scores.md).
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
    """The conversations in which memories are searched."""

    TENANT = "tenant"
    CONVERSATION = "conversation"


class Reason(StrEnum):
    """The reason why a message is in a context."""

    RECENT = "recent"
    RELEVANT = "relevant"
    NEIGHBOR = "neighbor"


class ContextRequest(Criteria):
    """A request for the context of a conversation, with its size and the memories to include.

    The filters, `metadata`, `weights`, `asked_at`, `language` and `top_k` work as in a search. They select memories,
    and do not affect the recent turns.
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

    conversation_id: StoredIdentifier = Field(description="The current conversation. It may have no messages yet.")
    query: Query | None = Field(
        default=None,
        description="The search query for memories. Left out: the user's last message in this conversation.",
    )
    token_budget: Annotated[int, Field(ge=0, le=MAX_TOKEN_BUDGET), BeforeValidator(not_boolean)] = Field(
        default=2_000, description="Maximum size of `text` in tokens, by the estimate that `docs/context.md` describes."
    )
    recent_turns: Annotated[int, Field(ge=0, le=MAX_RECENT_TURNS), BeforeValidator(not_boolean)] = Field(
        default=20, description="Maximum number of the conversation's last turns."
    )
    recent_share: Share = Field(
        default=0.5,
        description="The share of the budget reserved for recent turns. What either side leaves, the other may use.",
    )
    top_k: Annotated[int, Field(ge=0, le=MAX_TOP_K), BeforeValidator(not_boolean)] = Field(
        default=50,
        description=(
            "Maximum number of memories besides the recent turns. Usually the budget is the limit. 0: no search."
        ),
    )
    scope: Scope = Field(default=Scope.TENANT, description="Look in all conversations of the tenant, or in this one.")
    min_score: Share = Field(
        default=LEAST_SCORE,
        description="Leave out memories that score less, because they are hardly related to the query.",
    )


class ContextItem(OfMessage):
    """A message or a fact of the context."""

    conversation_id: str
    role: Role
    name: str | None
    content: str = Field(description="If `truncated`, the part that is in `text`, with `[...]` at the cuts.")
    truncated: bool = Field(default=False, description="True when the message was cut to fit into the budget.")
    created_at: datetime
    kind: Kind = Kind.MESSAGE
    fact: FactDetails | None = Field(default=None, description="Null for a message.")
    tokens: int = Field(description="Tokens of its line in `text`.")
    reasons: list[Reason]
    score: float | None = Field(default=None, description="The search's score, where it is relevant.")


class ContextAnswer(Value):
    """The facts and messages of the context, each in time order, and the same as text for a prompt."""

    model_config = ConfigDict(json_schema_extra={"examples": [CONTEXT_EXAMPLE]})

    token_budget: int
    tokens_used: int = Field(description="Tokens of `text`.")
    degraded: bool = Field(description="True when the query could not be embedded and only its words were searched.")
    omitted: int = Field(description="Number of candidate messages that did not fit, even in part.")
    items: list[ContextItem]
    text: str = Field(
        description=(
            "`[Facts]` and a line for each, where there are some; a line for the day where it changes, then "
            "`name: content` for each message."
        )
    )
