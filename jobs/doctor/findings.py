"""The result of a check."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """`warning`: works, but not for ever or not as it should. `skipped`: could not be checked."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """A check's name, its result and advice in one sentence each, and a command that fixes it."""

    check: str
    outcome: Outcome
    said: str
    advice: str | None = None
    command: str | None = None


def well(check: str, said: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(check, Outcome.OK, said)


def warning(check: str, said: str, advice: str, command: str | None = None) -> Finding:
    """Return a finding that should be fixed."""
    return Finding(check, Outcome.WARNING, said, advice, command)


def problem(check: str, said: str, advice: str, command: str | None = None) -> Finding:
    """Return a finding that must be fixed."""
    return Finding(check, Outcome.PROBLEM, said, advice, command)


def skipped(check: str, said: str, advice: str | None = None, command: str | None = None) -> Finding:
    """Return a finding of a check that could not run."""
    return Finding(check, Outcome.SKIPPED, said, advice, command)


def worst(findings: Sequence[Finding]) -> Outcome:
    """Return the worst outcome. Skipped checks do not count."""
    outcomes = {finding.outcome for finding in findings}
    return next((each for each in (Outcome.PROBLEM, Outcome.WARNING) if each in outcomes), Outcome.OK)


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """Return the number of findings of each outcome."""
    found = Counter(finding.outcome for finding in findings)
    return {outcome.value: found[outcome] for outcome in Outcome}
