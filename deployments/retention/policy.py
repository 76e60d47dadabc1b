"""Computes which messages retention may change, in which phases, and its pauses. Pure: the clock is passed in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from deployments.schemas.retention import Action, Phase, RetentionPolicy, TenantPolicy

CLOCK_TOLERANCE = timedelta(minutes=1)


@dataclass(frozen=True)
class Selection:
    """The messages that a policy selects at one time. A time of None selects nothing.

    A run archives messages created before `archive_before` with an importance below `threshold`, except the newest
    `keep_newest`. It deletes messages archived at or before `delete_until`.
    """

    archive_before: datetime | None
    threshold: float
    keep_newest: int
    delete_until: datetime | None


def effective(defaults: RetentionPolicy, own: TenantPolicy | None) -> RetentionPolicy:
    """Return a tenant's policy, with defaults for the values that it does not set."""
    if own is None:
        return defaults
    return defaults.model_copy(update=own.model_dump(exclude_none=True))


def selection(policy: RetentionPolicy, actions: Sequence[Action], as_of: datetime) -> Selection:
    """Return what a policy selects at `as_of`: nothing for an exempt tenant."""
    archives = Action.ARCHIVE in actions and not policy.exempt
    deletes = Action.DELETE in actions and not policy.exempt
    return Selection(
        archive_before=as_of - timedelta(days=policy.max_age_days) if archives else None,
        threshold=policy.importance_threshold,
        keep_newest=policy.keep_newest,
        delete_until=as_of - timedelta(days=policy.delete_after_days) if deletes else None,
    )


def is_more_than_half(planned: int, messages: int) -> bool:
    """Return whether a plan covers more than half of a tenant's messages, which requires `force`."""
    return 2 * planned > messages


def clock_went_back(as_of: datetime, now: datetime) -> bool:
    """Return whether a plan's time is in the future: by the present clock it may select too much."""
    return as_of > now + CLOCK_TOLERANCE


def phases(actions: Sequence[Action], *, dry_run: bool, has_source: bool) -> tuple[Phase, ...]:
    """Return the phases of a run, in order. A run with a source applies or undoes that plan, and plans nothing."""
    if dry_run:
        return (Phase.PLANNING,)
    planning = () if has_source else (Phase.PLANNING,)
    work = {Action.ARCHIVE: Phase.ARCHIVING, Action.DELETE: Phase.DELETING, Action.RESTORE: Phase.RESTORING}
    return (*planning, *(phase for action, phase in work.items() if action in actions), Phase.FINISHING)


def phases_left(steps: Sequence[Phase], reached: Phase) -> Sequence[Phase]:
    """Return the phases from the one reached, which may be incomplete."""
    return steps[steps.index(reached) :] if reached in steps else steps


def rest_after(batch_seconds: float, factor: float) -> float:
    """Return the pause after a batch, in seconds. A slower database gets proportionally longer pauses."""
    return batch_seconds * factor
