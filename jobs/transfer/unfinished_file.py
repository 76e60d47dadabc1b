"""A gzipped file that is written in parts and gets its final name only when it is complete.

Each part is a gzip member of its own, so what a killed process left can be truncated to the last complete part. The
header comes first but is known last: space for it is reserved, uncompressed and of fixed length.
"""

import fcntl
import gzip
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from deployments.storage.transfer.snapshots import Reached
from jobs.transfer.errors import MovingInputError

# A name of 255 characters takes up to 1,530 bytes in JSON; a header has two names, and numbers.
HEADER_BYTES = 4096
# Vectors hardly compress, whatever the level.
COMPRESSION = 3
PRIVATE = 0o600


class Written(BaseModel):
    """The progress file: which parts are on the disk."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    user_id: str | None = None
    with_vectors: bool
    size: int
    vectors: int
    reached: Reached


class UnfinishedFile:
    """Writes `NAME.partial`, with the complete parts in `NAME.progress`, and renames it at the end."""

    def __init__(self, path: Path, tenant_id: str, user_id: str | None = None, *, with_vectors: bool) -> None:
        """Raises `MovingInputError` if the file exists already, cannot be written, or is being written."""
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        self._progress = path.with_name(f"{path.name}.progress")
        self._tenant_id = tenant_id
        self._user_id = user_id
        self._with_vectors = with_vectors
        self._file = self._open()
        try:
            self._check_ours()
        except MovingInputError:
            self._file.close()
            raise
        self.written = self._interrupted_export()

    def begin(self) -> None:
        """Discard what was written."""
        self._progress.unlink(missing_ok=True)
        self.written = None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(_header_member(b""))

    def go_on(self, written: Written) -> None:
        """Keep what was written, and truncate the file after the last complete part."""
        self._file.seek(written.size)
        self._file.truncate()

    def append(self, lines: list[bytes], vectors: int, reached: Reached) -> None:
        """Write a part, and record it once it is on the disk."""
        self._file.write(gzip.compress(b"".join(lines), COMPRESSION, mtime=0))
        self._sync()
        before = self.written.vectors if self.written else 0
        self.written = Written(
            tenant_id=self._tenant_id,
            user_id=self._user_id,
            with_vectors=self._with_vectors,
            size=self._file.tell(),
            vectors=before + vectors,
            reached=reached,
        )
        fresh = self._progress.with_name(f"{self._progress.name}.new")
        fresh.write_text(self.written.model_dump_json())
        fresh.replace(self._progress)

    def finish(self, header: bytes) -> None:
        """Write the header, and rename the file to its final name."""
        self._file.seek(0)
        self._file.write(_header_member(header))
        self._sync()
        self._partial.rename(self._path)
        self._progress.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, and leave it as it is."""
        self._file.close()

    def _open(self) -> BinaryIO:
        self._refuse_existing()
        try:
            descriptor = os.open(self._partial, os.O_RDWR | os.O_CREAT, PRIVATE)
        except OSError as error:
            raise MovingInputError(f"{self._partial} cannot be written: {error.strerror}") from None
        return os.fdopen(descriptor, "r+b")

    def _check_ours(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MovingInputError(f"{self._partial} is being written by another export") from None
        # Another process may have finished and renamed it while this one opened it.
        self._refuse_existing()

    def _refuse_existing(self) -> None:
        if self._path.exists():
            raise MovingInputError(f"{self._path} exists already: remove it, or choose another name")

    def _interrupted_export(self) -> Written | None:
        """Return the progress of an interrupted export with the same options, or None."""
        with suppress(FileNotFoundError, ValidationError):
            written = Written.model_validate_json(self._progress.read_bytes())
            size = os.fstat(self._file.fileno()).st_size
            asked = (self._tenant_id, self._user_id, self._with_vectors)
            same = (written.tenant_id, written.user_id, written.with_vectors) == asked
            return written if same and written.size <= size else None
        return None

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def _header_member(header: bytes) -> bytes:
    return gzip.compress(header.ljust(HEADER_BYTES) + b"\n", compresslevel=0, mtime=0)
