"""What a check comes to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """`warning`: works, and will not for ever or not as it should. `skipped`: could not be looked at."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What was checked, how it is in one sentence, what to do in one sentence, and the command that does it."""

    check: str
    outcome: Outcome
    said: str
    advice: str | None = None
    command: str | None = None


def well(check: str, said: str) -> Finding:
    """Nothing is to be done."""
    return Finding(check, Outcome.OK, said)


def warning(check: str, said: str, advice: str, command: str | None = None) -> Finding:
    """Something should be done."""
    return Finding(check, Outcome.WARNING, said, advice, command)


def problem(check: str, said: str, advice: str, command: str | None = None) -> Finding:
    """Something must be done."""
    return Finding(check, Outcome.PROBLEM, said, advice, command)


def skipped(check: str, said: str, advice: str | None = None, command: str | None = None) -> Finding:
    """Nothing is known."""
    return Finding(check, Outcome.SKIPPED, said, advice, command)


def worst(findings: Sequence[Finding]) -> Outcome:
    """Of all of them; what was skipped does not count."""
    outcomes = {finding.outcome for finding in findings}
    return next((each for each in (Outcome.PROBLEM, Outcome.WARNING) if each in outcomes), Outcome.OK)


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """How many findings there are of each outcome."""
    found = Counter(finding.outcome for finding in findings)
    return {outcome.value: found[outcome] for outcome in Outcome}
