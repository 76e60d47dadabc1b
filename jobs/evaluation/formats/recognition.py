"""Detects the format of a file from its content."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from jobs.evaluation.dataset import Dataset, Tenant
from jobs.evaluation.errors import EvaluationInputError
from jobs.evaluation.formats import locomo, longmemeval, own_lines

_SAMPLES: dict[str, tuple[set[str], Callable[[object, str], Tenant]]] = {
    locomo.FORMAT: ({"qa", "conversation"}, locomo.read_sample),
    longmemeval.FORMAT: ({"haystack_sessions"}, longmemeval.read_sample),
}


def read_datasets(paths: Sequence[Path]) -> list[Dataset]:
    """Return each file as a dataset named after it. Raises `EvaluationInputError` that names file and place."""
    datasets: list[Dataset] = []
    for path in paths:
        taken = {dataset.name for dataset in datasets}
        name = next(name for name in _names(path.stem) if name not in taken)
        datasets.append(read_dataset(path, name))
    return datasets


def read_dataset(path: Path, name: str) -> Dataset:
    """Return one file as a dataset. Raises `EvaluationInputError`."""
    text = _read(path)
    if not text.strip():
        raise EvaluationInputError(f"{path}:1: the file is empty")
    if text.lstrip().startswith("["):
        form, tenants = _read_samples(text, path)
    else:
        form, tenants = own_lines.FORMAT, own_lines.read_lines(text, str(path), path.stem)
    dataset = Dataset(name, form, tenants)
    if not dataset.questions:
        raise EvaluationInputError(f"{path}:1: the file holds no question that has an answer")
    return dataset


def _names(stem: str) -> Any:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise EvaluationInputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise EvaluationInputError(f"{path}:{line}: it is not UTF-8") from None


def _read_samples(text: str, path: Path) -> tuple[str, list[Tenant]]:
    try:
        samples = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise EvaluationInputError(f"{path}:{error.lineno}: {error.msg} (column {error.colno})") from None
    first = samples[0] if samples else None
    keys = set(first) if isinstance(first, dict) else set()
    for form, (expected, read) in _SAMPLES.items():
        if expected <= keys:
            return form, [read(raw, f"{path}:1: sample {number}") for number, raw in enumerate(samples, start=1)]
    raise EvaluationInputError(
        f"{path}:1: a list of what is neither LoCoMo's samples (qa, conversation) nor LongMemEval's (haystack_sessions)"
    )
