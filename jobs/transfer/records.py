"""Reads the records of a file: JSON Lines, gzipped or not, or one JSON document."""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from jobs.transfer.errors import DamagedFileError, MovingInputError

GZIP = b"\x1f\x8b"
# Size limit of one line, or of a document that spans lines.
MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Record:
    """The content of a line. `line` counts from 1. `reason`: why the line is invalid; it then has no value."""

    line: int
    value: Any
    reason: str | None = None


class RecordFile:
    """Reads a file once, from beginning to end."""

    def __init__(self, path: Path) -> None:
        """Raises `MovingInputError` if the file cannot be read."""
        self._path = path
        try:
            self._raw = path.open("rb")
            self.size = path.stat().st_size
            self.modified_at = path.stat().st_mtime
        except OSError as error:
            raise MovingInputError(f"{path} cannot be read: {error.strerror}") from None
        zipped = self._raw.read(len(GZIP)) == GZIP
        self._raw.seek(0)
        self._text: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=self._raw) if zipped else self._raw

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._raw.close()

    @property
    def bytes_read(self) -> int:
        """Return how many bytes of the file were read, of `size`."""
        return min(self._raw.tell(), self.size)

    def records(self) -> Iterator[Record]:
        """Yield all records; blank lines are skipped. Raises `DamagedFileError` if the file is truncated or corrupt."""
        first, rest = True, self._lines()
        for line, text in rest:
            if not text.strip():
                continue
            record = _parsed(line, text)
            if first and record.reason is not None:
                yield from self._document_or_lines(line, text, rest)
                return
            first = False
            yield record

    def _document_or_lines(self, line: int, text: bytes, rest: Iterator[tuple[int, bytes]]) -> Iterator[Record]:
        """Yield the one document that spans all lines, or else the record of each line; the first line is no JSON."""
        lines, size = [(line, text)], len(text)
        for each in rest:
            lines.append(each)
            size += len(each[1])
            if size > MOST_BYTES:
                break
        else:
            whole = _parsed(line, b"".join(text for _, text in lines))
            if whole.reason is None:
                yield whole
                return
        yield from (_parsed(*each) for each in lines if each[1].strip())
        yield from (_parsed(*each) for each in rest if each[1].strip())

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        line = 0
        try:
            while text := self._text.readline(MOST_BYTES):
                line += 1
                if len(text) == MOST_BYTES:
                    raise MovingInputError(f"{self._path}: line {line} is longer than {MOST_BYTES:,} bytes")
                yield line, text
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DamagedFileError(f"{self._path} is cut off or damaged behind line {line}: {error}") from None


def _parsed(line: int, text: bytes) -> Record:
    try:
        return Record(line, orjson.loads(text))
    except orjson.JSONDecodeError as error:
        return Record(line, None, f"is no JSON: {error}")
