"""What a policy selects, in which steps, and what is too much: decided without a clock or a database."""

from datetime import UTC, datetime, timedelta

import pytest

from deployments.retention.policy import (
    clock_went_back,
    effective,
    is_more_than_half,
    phases,
    phases_left,
    rest_after,
    selection,
)
from deployments.schemas.retention import Action, Phase, RetentionPolicy, TenantPolicy

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
DEFAULTS = RetentionPolicy(
    max_age_days=30, importance_threshold=0.35, delete_after_days=90, keep_newest=0, exempt=False
)
BOTH = (Action.ARCHIVE, Action.DELETE)


def test_what_a_tenant_does_not_set_is_as_in_the_defaults() -> None:
    own = TenantPolicy(max_age_days=7, keep_newest=10)

    assert effective(DEFAULTS, None) == DEFAULTS
    assert effective(DEFAULTS, own) == DEFAULTS.model_copy(update={"max_age_days": 7, "keep_newest": 10})


def test_zero_is_set_and_not_left_out() -> None:
    defaults = DEFAULTS.model_copy(update={"keep_newest": 100})

    assert effective(defaults, TenantPolicy(keep_newest=0, importance_threshold=0.0)) == DEFAULTS.model_copy(
        update={"importance_threshold": 0.0}
    )


def test_ages_count_from_the_moment_of_the_run() -> None:
    selected = selection(DEFAULTS, BOTH, NOW)

    assert (selected.archive_before, selected.delete_until) == (NOW - timedelta(days=30), NOW - timedelta(days=90))
    assert (selected.threshold, selected.keep_newest) == (0.35, 0)


def test_what_is_not_asked_for_selects_nothing() -> None:
    assert selection(DEFAULTS, (Action.ARCHIVE,), NOW).delete_until is None
    assert selection(DEFAULTS, (Action.DELETE,), NOW).archive_before is None


def test_nothing_of_an_exempt_tenant_is_selected() -> None:
    selected = selection(effective(DEFAULTS, TenantPolicy(exempt=True)), BOTH, NOW)

    assert (selected.archive_before, selected.delete_until) == (None, None)


@pytest.mark.parametrize(("planned", "messages", "much"), [(0, 0, False), (1, 1, True), (5, 10, False), (6, 10, True)])
def test_more_than_half_is_too_much(planned: int, messages: int, much: bool) -> None:
    assert is_more_than_half(planned, messages) is much


@pytest.mark.parametrize(("ahead", "back"), [(-3600, False), (0, False), (59, False), (61, True), (1e6, True)])
def test_a_plan_of_a_time_to_come_tells_that_the_clock_went_back(ahead: float, back: bool) -> None:
    assert clock_went_back(NOW + timedelta(seconds=ahead), NOW) is back


@pytest.mark.parametrize(
    ("actions", "dry_run", "has_source", "steps"),
    [
        (BOTH, True, False, ["planning"]),
        (BOTH, False, False, ["planning", "archiving", "deleting", "finishing"]),
        (BOTH, False, True, ["archiving", "deleting", "finishing"]),
        ((Action.DELETE,), False, False, ["planning", "deleting", "finishing"]),
        ((Action.RESTORE,), False, True, ["restoring", "finishing"]),
    ],
)
def test_a_run_has_the_steps_that_it_needs(
    actions: tuple[Action, ...], dry_run: bool, has_source: bool, steps: list[str]
) -> None:
    assert list(phases(actions, dry_run=dry_run, has_source=has_source)) == steps


def test_a_run_goes_on_with_the_step_that_it_was_left_in() -> None:
    steps = phases(BOTH, dry_run=False, has_source=False)

    assert list(phases_left(steps, Phase.DELETING)) == [Phase.DELETING, Phase.FINISHING]
    assert list(phases_left(steps, Phase.QUEUED)) == list(steps)


def test_a_rest_is_as_long_as_the_batch_was_slow() -> None:
    assert (rest_after(0.1, 2.0), rest_after(5.0, 0.0)) == (0.2, 0.0)
