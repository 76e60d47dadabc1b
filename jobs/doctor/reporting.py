"""Prints the findings: a list for people, or one JSON object for scripts."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from typing import TextIO

from rich.console import Console
from rich.text import Text

from jobs.doctor.findings import Finding, Outcome, counts, worst

STYLES = {Outcome.OK: "green", Outcome.WARNING: "yellow", Outcome.PROBLEM: "bold red", Outcome.SKIPPED: "dim"}


def write_list(findings: Sequence[Finding], stream: TextIO) -> None:
    """Write a line for each finding, with its advice below."""
    if isinstance(stream, TextIOWrapper):
        # Paths and names may contain characters that the terminal's encoding cannot represent.
        stream.reconfigure(errors="backslashreplace")
    console = Console(file=stream, soft_wrap=True, highlight=False)
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        outcome = Text(f"{finding.outcome:<8}", STYLES[finding.outcome])
        console.print(outcome, Text(f"{finding.check:<{width}}  {finding.said}"))
        for line in (finding.advice, finding.command):
            if line is not None:
                console.print(Text(f"{'':<9}{'':<{width}}  {'$ ' if line is finding.command else '-> '}{line}"))
    summary = ", ".join(f"{count} {outcome}" for outcome, count in counts(findings).items() if count)
    console.print(Text(f"\n{worst(findings)}: {summary}", STYLES[worst(findings)]))


def write_json(findings: Sequence[Finding], stream: TextIO) -> None:
    """Write `{status, version, counts, findings: [{check, outcome, said, advice, command}]}`."""
    report = {
        "status": worst(findings),
        "version": _version(),
        "counts": counts(findings),
        "findings": [asdict(finding) for finding in findings],
    }
    stream.write(f"{json.dumps(report, indent=2)}\n")


def _version() -> str | None:
    """Return the installed version, or None if the code runs without being installed."""
    try:
        return version("ai-memory-layer")
    except PackageNotFoundError:
        return None
