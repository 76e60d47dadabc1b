"""Names that say what a thing is, files that can be read at once, and no stray output."""

import ast
from pathlib import Path

import pytest

from tests.paths import ROOT

FOLDERS = ("serve_app", "deployments", "jobs", "migrations", "loadtests", "deploy", "tests")
PRODUCT = ("serve_app", "deployments", "jobs", "migrations")
EMPTY_NAMES = {"utils", "util", "common", "helpers", "helper", "core", "manager", "managers", "misc", "shared"}
LONGEST = 400


def sources(*folders: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", sources(*FOLDERS), ids=str)
def test_a_file_has_a_name_that_says_something_and_can_be_read_at_once(path: Path) -> None:
    assert not EMPTY_NAMES & {part.removesuffix(".py") for part in path.parts}
    assert not {"manager", "helper", "helpers", "utils"} & set(path.stem.split("_"))
    assert len((ROOT / path).read_text().splitlines()) < LONGEST


@pytest.mark.parametrize("path", [p for p in sources(*PRODUCT) if p.parts[-1] != "launch.py"], ids=str)
def test_nothing_is_printed(path: Path) -> None:
    """What `make serve` prints is for who started it; everything else is logged."""
    tree = ast.parse((ROOT / path).read_text())
    printed = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]

    assert printed == []


@pytest.mark.parametrize("path", [p for p in sources(*PRODUCT) if p.name != "__init__.py"], ids=str)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse((ROOT / path).read_text()))
