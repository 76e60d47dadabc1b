"""How the parts of the service are asked: within a time limit, once for all who want to know."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from deployments.errors import DatabaseUnavailableError, UnavailableError
from deployments.runtime import health
from deployments.runtime.health import Check, overall, probe_check
from deployments.schemas.health import Part, Problem, Status
from deployments.settings import Environment
from deployments.storage.embeddings.jobs import JobCounts
from serve_app.health import NO_PROGRESS_SECONDS, STUCK_SECONDS, Backlog, HealthReporter, Probes

SILENT = Problem("It does not answer.")


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is given up at once."""
    monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", 0.05)


def raising(error: Exception) -> Callable[[], Awaitable[Problem | None]]:
    async def ask() -> Problem | None:
        raise error

    return ask


async def well() -> None:
    return None


async def hanging() -> None:
    await asyncio.Event().wait()


async def test_a_part_that_answers_is_well_and_timed() -> None:
    part = await Check("it", well, SILENT).part()

    assert (part.status, part.problem) == (Status.OK, None)
    assert part.latency_ms >= 0


@pytest.mark.parametrize(
    ("ask", "problem"),
    [
        (hanging, SILENT.sentence),
        (raising(UnavailableError("A part of the service did not answer.")), SILENT.sentence),
        (raising(DatabaseUnavailableError("The database is away.")), "The database is away."),
        (raising(ZeroDivisionError("secret")), "The check of this part broke: it."),
    ],
    ids=["hangs", "away", "says why", "breaks"],
)
async def test_a_part_that_fails_is_told_of_in_a_sentence(
    ask: Callable[[], Awaitable[Problem | None]], problem: str
) -> None:
    part = await Check("it", ask, SILENT).part()

    assert (part.status, part.problem) == (Status.UNAVAILABLE, problem)


async def test_a_problem_says_itself_how_bad_it_is() -> None:
    async def busy() -> Problem | None:
        return Problem("It is busy.", Status.DEGRADED)

    part = await Check("it", busy, SILENT).part()

    assert (part.status, part.problem) == (Status.DEGRADED, "It is busy.")


@pytest.mark.parametrize("status", [Status.DEGRADED, Status.UNAVAILABLE])
async def test_the_sentence_of_a_probe_has_the_status_of_its_silence(status: Status) -> None:
    async def probe() -> str | None:
        return "It is busy."

    part = await probe_check("it", probe, Problem(SILENT.sentence, status)).part()

    assert (part.status, part.problem) == (status, "It is busy.")


async def test_all_who_ask_meanwhile_and_soon_after_share_one_answer() -> None:
    asked, answer = 0, asyncio.Event()

    async def ask() -> None:
        nonlocal asked
        asked += 1
        await answer.wait()

    check = Check("it", ask, SILENT)
    impatient = asyncio.create_task(check.part())
    others = [asyncio.create_task(check.part()) for _ in range(20)]
    await asyncio.sleep(0)
    impatient.cancel()
    answer.set()
    parts = await asyncio.gather(*others)

    assert {part.status for part in [*parts, await check.part()]} == {Status.OK}
    assert asked == 1


async def test_it_is_asked_again_when_what_is_remembered_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REMEMBERED_SECONDS", 0)
    answers = iter([Problem("It is away."), None])

    async def ask() -> Problem | None:
        return next(answers)

    check = Check("it", ask, SILENT)

    assert [(await check.part()).status for _ in range(2)] == [Status.UNAVAILABLE, Status.OK]


def part(name: str, status: Status) -> Part:
    return Part(name=name, status=status, latency_ms=1, problem=None)


@pytest.mark.parametrize(
    ("needed", "other", "whole"),
    [
        (Status.OK, Status.OK, Status.OK),
        (Status.OK, Status.DEGRADED, Status.DEGRADED),
        (Status.OK, Status.UNAVAILABLE, Status.DEGRADED),
        (Status.UNAVAILABLE, Status.OK, Status.UNAVAILABLE),
    ],
)
def test_the_whole_is_unavailable_with_what_it_needs_alone(needed: Status, other: Status, whole: Status) -> None:
    assert overall([part("database", needed), part("other", other)], "database") is whole


class Jobs:
    """A backlog of one message."""

    async def counts(self) -> JobCounts:
        """Nothing takes it."""
        return JobCounts(1, 0, NOON, 1)


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_backlog_that_nobody_takes_from_does_not_move() -> None:
    backlog, front = Backlog(Jobs()), JobCounts(5, 0, NOON, 5)

    assert backlog.judge(front, 1000) is None
    assert backlog.judge(front, 1000 + STUCK_SECONDS - 1) is None
    assert backlog.judge(JobCounts(9, 0, NOON, 5), 1000 + STUCK_SECONDS) == (
        f"No worker has taken any of 9 pending messages for {STUCK_SECONDS:.0f} s."
    )


@pytest.mark.parametrize(
    "later",
    [
        JobCounts(5, 0, NOON, 4),
        JobCounts(5, 0, NOON + timedelta(seconds=1), 5),
        JobCounts(5, 0, None, 0),
    ],
    ids=["one of the front is taken", "the front is taken", "all is claimed"],
)
def test_a_backlog_that_is_taken_from_moves_however_long_it_is(later: JobCounts) -> None:
    backlog = Backlog(Jobs())

    assert backlog.judge(JobCounts(5, 0, NOON, 5), 1000) is None
    assert backlog.judge(later, 1000 + STUCK_SECONDS) is None


def claimed(removed: int = 7, oldest: float | None = 9e9) -> JobCounts:
    """Every message is held by a worker."""
    return JobCounts(5, 0, oldest_seconds=oldest, removed=removed)


def test_a_backlog_of_which_nothing_is_completed_makes_no_progress() -> None:
    backlog, over = Backlog(Jobs()), NO_PROGRESS_SECONDS

    assert backlog.judge(claimed(), 1000) is None
    assert backlog.judge(claimed(), 1000 + over - 1) is None
    problem = backlog.judge(claimed(oldest=over), 1000 + over)
    assert problem is not None
    assert problem.startswith(f"Workers have completed none of 5 pending messages for {over:.0f} s")

    backlog.excuse(1000 + over)
    assert backlog.judge(claimed(), 1000 + 2 * over - 1) is None
    assert backlog.judge(claimed(), 1000 + 2 * over) is not None


@pytest.mark.parametrize(
    "later",
    [claimed(removed=8), claimed(removed=0), claimed(oldest=NO_PROGRESS_SECONDS - 1), claimed(oldest=None)],
    ids=["one is completed", "Postgres crashed", "the oldest is young", "only retries wait"],
)
def test_a_backlog_that_is_worked_off_makes_progress(later: JobCounts) -> None:
    backlog = Backlog(Jobs())

    assert backlog.judge(claimed(), 1000) is None
    assert backlog.judge(later, 1000 + NO_PROGRESS_SECONDS) is None


async def test_what_hangs_makes_health_late_and_never_hang() -> None:
    """Every part at once: they are asked side by side."""
    probes = Probes(search=hanging, embedding=hanging, scoring=hanging, rate_limits=hanging, metrics=hanging)
    reporter = HealthReporter(hanging, hanging, Jobs(), probes, Environment.DEVELOPMENT)

    async with asyncio.timeout(10):
        told = await reporter.health()

    wrong = {part.name for part in told.parts if part.problem}
    assert wrong == {"database", "embedding", "search", "pool", "scoring", "rate_limits", "metrics"}
    assert len(told.problems) == len(wrong) - 1
    assert told.status is Status.UNAVAILABLE
