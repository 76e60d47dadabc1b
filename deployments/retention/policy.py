"""Which messages retention may touch, how gently, and in which steps. Pure: the clock is passed in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from deployments.schemas.retention import Action, Phase, RetentionPolicy, TenantPolicy

CLOCK_TOLERANCE = timedelta(minutes=1)


@dataclass(frozen=True)
class Selection:
    """What a policy comes to at one moment; None where it selects nothing.

    Archived are messages from before `archive_before` with an importance under `threshold`, but for the newest
    `keep_newest`; deleted are those archived at or before `delete_until`.
    """

    archive_before: datetime | None
    threshold: float
    keep_newest: int
    delete_until: datetime | None


def effective(defaults: RetentionPolicy, own: TenantPolicy | None) -> RetentionPolicy:
    """A tenant's policy: what it does not set itself is as in the defaults."""
    if own is None:
        return defaults
    return defaults.model_copy(update=own.model_dump(exclude_none=True))


def selection(policy: RetentionPolicy, actions: Sequence[Action], as_of: datetime) -> Selection:
    """What a policy selects at `as_of`. Nothing of an exempt tenant."""
    archives = Action.ARCHIVE in actions and not policy.exempt
    deletes = Action.DELETE in actions and not policy.exempt
    return Selection(
        archive_before=as_of - timedelta(days=policy.max_age_days) if archives else None,
        threshold=policy.importance_threshold,
        keep_newest=policy.keep_newest,
        delete_until=as_of - timedelta(days=policy.delete_after_days) if deletes else None,
    )


def is_more_than_half(planned: int, messages: int) -> bool:
    """Whether so much of a tenant is touched that somebody has to want it expressly."""
    return 2 * planned > messages


def clock_went_back(as_of: datetime, now: datetime) -> bool:
    """Whether a plan is of a time that is yet to come: by the clock of now it may select too much."""
    return as_of > now + CLOCK_TOLERANCE


def phases(actions: Sequence[Action], *, dry_run: bool, has_source: bool) -> tuple[Phase, ...]:
    """The steps of a run, in order. One with a source applies its plan, or undoes it, and plans nothing itself."""
    if dry_run:
        return (Phase.PLANNING,)
    planning = () if has_source else (Phase.PLANNING,)
    work = {Action.ARCHIVE: Phase.ARCHIVING, Action.DELETE: Phase.DELETING, Action.RESTORE: Phase.RESTORING}
    return (*planning, *(phase for action, phase in work.items() if action in actions), Phase.FINISHING)


def phases_left(steps: Sequence[Phase], reached: Phase) -> Sequence[Phase]:
    """The steps from the one that was reached, which may have been left halfway."""
    return steps[steps.index(reached) :] if reached in steps else steps


def rest_after(batch_seconds: float, factor: float) -> float:
    """Seconds to pause after a batch: the slower the database is, the more is left to others."""
    return batch_seconds * factor
