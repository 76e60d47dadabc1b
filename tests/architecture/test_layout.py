"""Names that say what a thing is, and files that can be read at once.

ruff holds that nothing is printed (T20) and that each module has a docstring (D100).
"""

from pathlib import Path

from tests.paths import ROOT

FOLDERS = ("serve_app", "deployments", "jobs", "migrations", "loadtests", "deploy", "tests")
EMPTY_NAMES = {"utils", "util", "common", "helpers", "helper", "core", "manager", "managers", "misc", "shared"}
EMPTY_WORDS = {"manager", "helper", "helpers", "utils"}
LONGEST = 400


def sources() -> list[Path]:
    """Return the paths of all source files, relative to the root."""
    return sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def says_nothing(path: Path) -> bool:
    """Return whether a file, or a folder above it, has a name that fits anything."""
    return bool(
        EMPTY_NAMES & {part.removesuffix(".py") for part in path.parts} or EMPTY_WORDS & {*path.stem.split("_")}
    )


def test_a_file_has_a_name_that_says_something() -> None:
    empty = [str(path) for path in sources() if says_nothing(path)]

    assert not empty, "\n".join(empty)


def test_a_file_can_be_read_at_once() -> None:
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path in sources()}
    long = [f"{path}: {lines} lines" for path, lines in lengths.items() if lines >= LONGEST]

    assert len(lengths) > 500
    assert not long, "\n".join(long)
