"""Request and response models of retention: policies, requested runs, and the ledger of runs."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue, computed_field, model_validator

from deployments.schemas.message_references import OfMessage
from deployments.schemas.messages import Flag, Role, Share, StoredIdentifier, TenantOrAll, Value, not_boolean

MAX_DAYS = 36_500
MAX_KEPT = 1_000_000
MAX_WAIT_SECONDS = 50
WAIT = "How long to wait for the run to end, in seconds; at most four fifths of the request timeout."

Days = Annotated[int, Field(ge=1, le=MAX_DAYS), BeforeValidator(not_boolean)]
Kept = Annotated[int, Field(ge=0, le=MAX_KEPT), BeforeValidator(not_boolean)]
Wait = Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS), BeforeValidator(not_boolean)]

POLICY_EXAMPLE: dict[str, JsonValue] = {
    "max_age_days": 30,
    "importance_threshold": 0.35,
    "delete_after_days": 90,
    "keep_newest": 0,
    "exempt": False,
}
RUN_EXAMPLE: dict[str, JsonValue] = {
    "id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10",
    "run_id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10",
    "status": "completed",
    "phase": "planning",
    "dry_run": True,
    "would_archive": 412,
    "would_delete": 57,
    "archived": 412,
    "deleted": 57,
    "restored": 0,
    "skipped": 0,
    "tenant_id": None,
    "user_id": None,
    "actions": ["archive", "delete"],
    "forced": False,
    "source_run_id": None,
    "requested_by": "aml_Xk29sTbQ",
    "policy": POLICY_EXAMPLE,
    "as_of": "2026-11-23T09:30:00Z",
    "error": None,
    "created_at": "2026-11-23T09:30:00Z",
    "finished_at": "2026-11-23T09:30:02Z",
}
TENANT_EXAMPLE: dict[str, JsonValue] = {
    "tenant_id": "acme",
    "action": "archive",
    "planned": 412,
    "messages": 1200,
    "refused": False,
    "policy": POLICY_EXAMPLE,
}
SAMPLE_EXAMPLE: dict[str, JsonValue] = {
    "id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10",
    "message_id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10",
    "tenant_id": "acme",
    "action": "archive",
    "conversation_id": "conv-1",
    "role": "user",
    "importance": 0.21,
    "created_at": "2026-09-01T09:30:00Z",
    "archived_at": None,
}
REPORT_EXAMPLE: dict[str, JsonValue] = {**RUN_EXAMPLE, "tenants": [TENANT_EXAMPLE], "samples": [SAMPLE_EXAMPLE]}


class Action(StrEnum):
    """The action of a run on messages. `restore` undoes the archiving of another run."""

    ARCHIVE = "archive"
    DELETE = "delete"
    RESTORE = "restore"


class RunStatus(StrEnum):
    """Status of a run. `refused`: the plan would change more than half of each of its tenants."""

    RUNNING = "running"
    COMPLETED = "completed"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """Phase of a run."""

    QUEUED = "queued"
    PLANNING = "planning"
    ARCHIVING = "archiving"
    DELETING = "deleting"
    RESTORING = "restoring"
    FINISHING = "finishing"


class RetentionPolicy(Value):
    """Rules for archiving messages, and for deleting archived ones."""

    model_config = ConfigDict(json_schema_extra={"examples": [POLICY_EXAMPLE]})

    max_age_days: int = Field(description="Messages are archived when they are older ...")
    importance_threshold: float = Field(description="... and less important than this.")
    delete_after_days: int = Field(description="Archived messages are deleted after this many days.")
    keep_newest: int = Field(description="This many of a tenant's newest messages are never archived.")
    exempt: bool = Field(description="Retention changes nothing of the tenant.")


class TenantPolicy(Value):
    """A tenant's own rules. Omitted or null values come from the service's settings."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"max_age_days": 365, "keep_newest": 1000}]})

    max_age_days: Days | None = None
    importance_threshold: Share | None = None
    delete_after_days: Days | None = None
    keep_newest: Kept | None = None
    exempt: Flag = False


class TenantRetention(Value):
    """A tenant's effective policy, and its own rules."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tenant_id": "acme",
                    "policy": {**POLICY_EXAMPLE, "max_age_days": 365},
                    "own": {
                        "max_age_days": 365,
                        "importance_threshold": None,
                        "delete_after_days": None,
                        "keep_newest": None,
                        "exempt": False,
                    },
                }
            ]
        }
    )

    tenant_id: str
    policy: RetentionPolicy = Field(description="The effective policy.")
    own: TenantPolicy | None = Field(description="The tenant's own rules; null if none are set.")


def _archive_before_delete(actions: Collection[Action]) -> list[Action]:
    return [action for action in Action if action in actions]


class RetentionRequest(Value):
    """A run to start: only a plan (`dry_run`), a plan applied at once, or an earlier plan to apply (`run_id`)."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {"properties": {"dry_run": {"const": True}, "run_id": {"type": "string"}}, "required": ["run_id"]},
            "examples": [{"tenant_id": "acme", "actions": ["archive", "delete"], "dry_run": True}],
        }
    )

    tenant_id: TenantOrAll = Field(
        default=None, validate_default=True, description="Left out: every tenant, or the tenant of the key that asks."
    )
    user_id: StoredIdentifier | None = Field(
        default=None, description="Only this user's messages, by the tenant's policy."
    )
    actions: Annotated[
        list[Literal[Action.ARCHIVE, Action.DELETE]], Field(min_length=1), AfterValidator(_archive_before_delete)
    ] = Field(default=[Action.ARCHIVE, Action.DELETE])
    dry_run: Flag = Field(description="Only plan, change nothing.")
    wait_seconds: Wait = Field(default=30, description=WAIT)
    run_id: UUID | None = Field(default=None, description="A dry run to apply: change only what it planned.")
    force: Flag = Field(default=False, description="Proceed even if more than half of a tenant would change.")

    @model_validator(mode="after")
    def _applies_or_plans(self) -> Self:
        if self.run_id is not None and self.dry_run:
            raise ValueError("run_id applies a plan: dry_run must be false")
        if self.user_id is not None and self.tenant_id is None and self.run_id is None:
            raise ValueError("user_id needs a tenant_id")
        return self


class RetentionRun(Value):
    """A row of the ledger."""

    model_config = ConfigDict(json_schema_extra={"examples": [RUN_EXAMPLE]})

    run_id: UUID = Field(description="`id` by its old name.", json_schema_extra={"deprecated": True})
    status: RunStatus
    phase: Phase = Field(description="The current phase, or the last one before it ended.")
    dry_run: bool
    archived: int = Field(description="So far. Of a dry run: the same as `would_archive`; this use is deprecated.")
    deleted: int = Field(description="So far. Of a dry run: the same as `would_delete`; this use is deprecated.")
    restored: int
    skipped: int = Field(description="Planned, but skipped because they changed since.")
    tenant_id: str | None = Field(description="Null: every tenant.")
    user_id: str | None = Field(default=None, description="Null: every user.")
    actions: list[Action]
    forced: bool
    source_run_id: UUID | None = Field(description="The plan that it applies, or the run that it undoes.")
    requested_by: str = Field(description="A key's prefix, `root`, `anyone`, `job` or `schedule`.")
    policy: RetentionPolicy = Field(
        description="The service's defaults at that time; `tenants` has the effective policy of each."
    )
    as_of: datetime | None = Field(description="The time that ages are counted from; null before it began.")
    error: str | None
    created_at: datetime
    finished_at: datetime | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def id(self) -> UUID:
        """The run's id."""
        return self.run_id

    @computed_field  # type: ignore[prop-decorator]
    @property
    def would_archive(self) -> int | None:
        """Number of messages that a dry run plans to archive. Null for other runs."""
        return self.archived if self.dry_run else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def would_delete(self) -> int | None:
        """Number of messages that a dry run plans to delete. Null for other runs."""
        return self.deleted if self.dry_run else None


class PlannedTenant(Value):
    """The plan for one tenant and action."""

    tenant_id: str
    action: Action
    planned: int
    messages: int = Field(description="Out of this many messages: for archiving the unarchived ones, for deleting all.")
    refused: bool = Field(
        description="The plan covers more than half of the tenant's or the user's messages: skipped unless forced."
    )
    policy: RetentionPolicy


class RetentionSample(OfMessage):
    """A message that is planned to be archived or deleted, without its content."""

    tenant_id: str
    action: Action
    conversation_id: str
    role: Role
    importance: float | None
    created_at: datetime
    archived_at: datetime | None


class RetentionReport(RetentionRun):
    """A run with its plan: tenants with the most messages first, and sample messages from the whole plan."""

    model_config = ConfigDict(json_schema_extra={"examples": [REPORT_EXAMPLE]})

    tenants: list[PlannedTenant] = Field(description="At most 100.")
    samples: list[RetentionSample] = Field(description="At most 10 of each action, as long as the plan is kept.")


class RetentionRunPage(Value):
    """A page of runs, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [RUN_EXAMPLE], "next_cursor": None}]})

    items: list[RetentionRun]
    next_cursor: str | None = Field(description="Give it back as `cursor` for the next page; null at the end.")
