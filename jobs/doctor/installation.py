"""Checks whether another distribution installs packages under our names."""

from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions

from jobs.doctor.findings import Finding, problem, well

CHECK = "installation"
DISTRIBUTION = "ai-memory-layer"
PACKAGES = ("serve_app", "deployments", "jobs", "migrations")


def look() -> list[Finding]:
    """Return what `judge_owners` says of this environment."""
    return judge_owners(packages_distributions())


def judge_owners(owners: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Judge which distributions own each top-level package. pip overwrites the files of one with another's silently."""
    shared = {package: sorted(set(owners.get(package, ())) - {DISTRIBUTION}) for package in PACKAGES}
    return [
        problem(
            CHECK,
            f"{', '.join(others)} also installs a package {package}: one has overwritten files of the other.",
            "Install the service into an environment of its own (docs/cluster.md).",
        )
        for package, others in shared.items()
        if others
    ] or [well(CHECK, "No other distribution installs a package of the same name.")]
