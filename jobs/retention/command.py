"""The command line of the retention job."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from uuid import UUID

from pydantic import ValidationError

from deployments.errors import InvalidRequestError
from deployments.schemas.retention import RetentionReport, RetentionRequest, RunStatus
from deployments.settings import Settings
from deployments.storage.retention.policies import default_policy
from deployments.storage.retention.runs import RetentionRunRepository
from deployments.validation_faults import first_fault
from jobs.known_database import opened, prepared_settings
from jobs.progress import progress_on_stderr
from jobs.retention.pace import Pace
from jobs.retention.running import RetentionRunner
from jobs.terminal import FAILED, OK, complain, exit_statuses

REQUESTED_BY = "job"


@exit_statuses("the run is cancelled, and what it archived can be undone")
def main(arguments: Sequence[str] | None = None) -> int:
    """Execute one run, and print its ledger row as JSON.

    Return 0; 1 if it failed or was refused; 2 if the arguments are invalid; 130 if interrupted.
    """
    options = _options(arguments)
    settings = prepared_settings()
    report = asyncio.run(_run(settings, options))
    sys.stdout.write(f"{report.model_dump_json(indent=2)}\n")
    return _judged(report)


def _judged(report: RetentionReport) -> int:
    left_alone = [each for each in report.tenants if each.refused and not report.forced]
    for each in left_alone:
        complain(
            f"{each.tenant_id}: to {each.action} {each.planned:,} of {each.messages:,} messages is more than half: "
            "left alone without --force",
            FAILED,
        )
    if report.error is not None:
        complain(report.error, FAILED)
    return OK if report.status is RunStatus.COMPLETED else FAILED


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.retention", description="Archives and deletes what the retention policies select."
    )
    parser.add_argument("--tenant", help="only this tenant's messages (default: all)")
    parser.add_argument("--user", help="only this user's messages (needs --tenant)")
    parser.add_argument("--actions", help="archive, delete or archive,delete (default)")
    parser.add_argument("--force", action="store_true", help="allow changes to more than half of a tenant")
    parser.add_argument("--dry-run", action="store_true", help="plan only, change nothing")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--apply", type=UUID, metavar="RUN", help="execute the plan of a dry run")
    kinds.add_argument("--undo", type=UUID, metavar="RUN", help="undo the archiving of a run")
    kinds.add_argument("--resume", type=UUID, metavar="RUN", help="continue a run of the ledger")
    options = parser.parse_args(arguments)
    if (options.undo or options.resume) and (
        options.tenant or options.user or options.actions or options.force or options.dry_run
    ):
        parser.error("--undo and --resume take no other options: the ledger says what they are for")
    return options


async def _run(settings: Settings, options: argparse.Namespace) -> RetentionReport:
    async with opened(settings) as database:
        runs = RetentionRunRepository(database, default_policy(settings.retention))
        run_id = await _run_of(runs, options)
        pace = Pace(settings.retention.batch_size, settings.retention.pause_factor)
        await RetentionRunner(database, runs, pace, progress_on_stderr()).finish(run_id)
        return await runs.report(run_id)


async def _run_of(runs: RetentionRunRepository, options: argparse.Namespace) -> UUID:
    if options.resume is not None:
        resumed: UUID = options.resume
        return resumed
    if options.undo is not None:
        return await runs.create_undo(options.undo, None, REQUESTED_BY)
    return await runs.create(_request(options), REQUESTED_BY)


def _request(options: argparse.Namespace) -> RetentionRequest:
    asked: dict[str, object] = {"dry_run": options.dry_run, "force": options.force, "run_id": options.apply}
    if options.tenant is not None:
        asked["tenant_id"] = options.tenant
    if options.user is not None:
        asked["user_id"] = options.user
    if options.actions is not None:
        asked["actions"] = [action.strip() for action in options.actions.split(",")]
    try:
        return RetentionRequest.model_validate(asked)
    except ValidationError as error:
        raise InvalidRequestError(first_fault(error)) from None
