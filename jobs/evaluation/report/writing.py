"""Writes the report's files."""

from pathlib import Path

import orjson

from jobs.evaluation.errors import EvaluationInputError
from jobs.evaluation.report.page import render
from jobs.evaluation.results import Evaluation


def make_directory(path: Path) -> Path:
    """Return the directory, created if it is missing. Raises `EvaluationInputError` before the work starts."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / "results.json").touch()
    except OSError as error:
        raise EvaluationInputError(f"--out: cannot write to {path}: {error.strerror}") from None
    return path.resolve()


def write_report(evaluation: Evaluation, directory: Path) -> list[Path]:
    """Write `results.json` and `report.html`. Return their paths."""
    contents = {
        "results.json": orjson.dumps(evaluation, option=orjson.OPT_INDENT_2),
        "report.html": render(evaluation).encode(),
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return [directory / name for name in contents]
