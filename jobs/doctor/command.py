"""The command line of the doctor."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from deployments.connection_urls import http_url
from jobs.doctor.checking import REPORT, place_of
from jobs.doctor.environment import read_env_file
from jobs.doctor.examination import Asked, examine
from jobs.doctor.findings import Finding, Outcome, problem, worst
from jobs.doctor.reporting import write_json, write_list
from jobs.terminal import FAILED, INTERRUPTED, OK, complain

ITSELF = "doctor"
CHECKOUT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and print the findings.

    Return 0 if all is well, 1 if something is wrong, 2 if the arguments are invalid, 130 if interrupted.
    """
    options = _options(arguments)
    try:
        findings = _found(options)
    except KeyboardInterrupt:
        if options.json:
            write_json([problem(ITSELF, "It was interrupted.", "Call it again.")], sys.stdout)
        return complain("interrupted: nothing was changed", INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - whoever reads the answer gets one
        findings = [problem(ITSELF, f"The doctor itself broke: {place_of(error)}.", REPORT)]
    (write_json if options.json else write_list)(findings, sys.stdout)
    return judged(findings, strict=options.strict)


def _found(options: argparse.Namespace) -> list[Finding]:
    unread = read_env_file(Path.cwd() / ".env")
    asked = Asked(
        config=options.config or _nearest_config(),
        dashboard=options.dashboard or os.environ.get("RAY_DASHBOARD_ADDRESS") or None,
        url=options.url,
        provider=options.provider,
        environment=dict(os.environ),
    )
    return [*unread, *asyncio.run(examine(asked))]


def judged(findings: Sequence[Finding], *, strict: bool) -> int:
    """Return the exit status of the findings. `strict`: warnings count as problems."""
    failing = {Outcome.PROBLEM, Outcome.WARNING} if strict else {Outcome.PROBLEM}
    return FAILED if worst(findings) in failing else OK


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.doctor",
        description="Looks for what is wrong with an installation, and says what to do. Changes nothing.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the Serve config (./serve_config.yaml)")
    parser.add_argument(
        "--dashboard",
        type=_url,
        metavar="URL",
        help="Ray's dashboard (RAY_DASHBOARD_ADDRESS): checks the deployments",
    )
    parser.add_argument("--url", type=_url, help="the service: checks its health")
    parser.add_argument(
        "--no-provider", dest="provider", action="store_false", help="embed and rerank nothing: calls may be paid"
    )
    parser.add_argument("--json", action="store_true", help="print JSON for scripts (docs/doctor.md)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    return parser.parse_args(arguments)


def _nearest_config() -> Path | None:
    """Return the config in this directory, or beside the code; None if the code is installed without one."""
    paths = (folder / "serve_config.yaml" for folder in (Path.cwd(), CHECKOUT))
    return next((path for path in paths if path.is_file()), None)


def _url(text: str) -> str:
    try:
        return http_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
