"""Imports a file into a tenant."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.storage.transfer.imports import ImportRepository, ImportStatus
from jobs.progress import Advance, Progress
from jobs.transfer.errors import DamagedFileError
from jobs.transfer.formats.turns import LeftOut
from jobs.transfer.records import RecordFile
from jobs.transfer.source import ImportedMessage, ImportOptions, read_source

BATCH = 500
BATCH_CHARACTERS = 1_000_000
ENDINGS = {".gz", ".jsonl", ".ndjson", ".json"}


@dataclass
class Imported:
    """The counts of an import.

    `present`: existed before, and left unchanged. `partly`: imported, but not completely.
    """

    tenant_id: str
    format: str
    stored: int = 0
    present: int = 0
    refused: int = 0
    partly: int = 0


async def import_file(
    repository: ImportRepository, path: Path, options: ImportOptions, progress: Progress, report: Callable[[str], None]
) -> Imported:
    """Store the messages that are missing. Committed ones stay if the import stops, and the next import continues.

    `report` is called for each message that was not, or not completely, imported, with its place and the reason. Raises
    `MovingInputError`, `DamagedFileError`, `IdTakenError`, `DatabaseUnavailableError`, `OverloadedError`.
    """
    with RecordFile(path) as file:
        source = read_source(file, stem_of(path), options)
        imported = Imported(source.tenant_id, source.format)
        with progress.step(f"importing {path.name} (bytes)", file.size) as advance:
            reading = _Reading(file, advance)
            try:
                for batch in _batches(_taken(source.messages, imported, report)):
                    await _insert(repository, batch, imported, report)
                    reading.advance()
            except DamagedFileError as error:
                raise DamagedFileError(f"{error} {imported.stored:,} messages of it were stored.") from None
            reading.advance()
    return imported


def stem_of(path: Path) -> str:
    """Return a file's name without the suffixes of its format."""
    name = path.name
    while Path(name).suffix in ENDINGS:
        name = Path(name).stem
    return name


class _Reading:
    def __init__(self, file: RecordFile, advance: Advance) -> None:
        self._file = file
        self._advance = advance
        self._reported = 0

    def advance(self) -> None:
        self._advance(self._file.bytes_read - self._reported)
        self._reported = self._file.bytes_read


def _taken(
    messages: Iterable[ImportedMessage | LeftOut], imported: Imported, report: Callable[[str], None]
) -> Iterator[ImportedMessage]:
    for each in messages:
        if isinstance(each, ImportedMessage):
            yield each
            continue
        report(f"{each.place}: {each.reason}")
        if each.whole:
            imported.refused += 1
        else:
            imported.partly += 1


def _batches(messages: Iterator[ImportedMessage]) -> Iterator[list[ImportedMessage]]:
    batch: list[ImportedMessage] = []
    characters = 0
    try:
        for each in messages:
            batch.append(each)
            characters += len(each.message.content)
            if len(batch) == BATCH or characters >= BATCH_CHARACTERS:
                yield batch
                batch, characters = [], 0
    except DamagedFileError:
        # Import what was read before the damage, then raise.
        if batch:
            yield batch
        raise
    if batch:
        yield batch


async def _insert(
    repository: ImportRepository, batch: Sequence[ImportedMessage], imported: Imported, report: Callable[[str], None]
) -> None:
    outcomes = await repository.insert(imported.tenant_id, [each.message for each in batch])
    for each, outcome in zip(batch, outcomes, strict=True):
        if outcome is ImportStatus.STORED:
            imported.stored += 1
        elif outcome is ImportStatus.PRESENT:
            imported.present += 1
        else:
            imported.refused += 1
            report(f"{each.place}: {outcome.message}")
