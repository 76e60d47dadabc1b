"""A gzipped file that is written a part at a time and is under its name only when it is whole.

Each part is a gzip member of its own, so that what a killed process left can be cut back to the last whole one. The
header comes first, but what it says is known last: its place is kept, uncompressed and of one length.
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

# A name of 255 characters takes up to 1,530 bytes in JSON; there are two in a header, and numbers.
HEADER_BYTES = 4096
# What vectors are made of hardly gets smaller, however long gzip tries.
COMPRESSION = 3
PRIVATE = 0o600


class Written(BaseModel):
    """What of the file is on the disk, kept beside it."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    user_id: str | None = None
    with_vectors: bool
    size: int
    vectors: int
    reached: Reached


class UnfinishedFile:
    """Beside the file that it will be: `NAME.partial`, and `NAME.progress` with what of it is whole."""

    def __init__(self, path: Path, tenant_id: str, user_id: str | None = None, *, with_vectors: bool) -> None:
        """Raises `MovingInputError` where the file exists already, cannot be written, or is being written."""
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
        self.written = self._left_by_another()

    def begin(self) -> None:
        """Forget what was written."""
        self._progress.unlink(missing_ok=True)
        self.written = None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(_header_member(b""))

    def go_on(self, written: Written) -> None:
        """Keep what was written, and cut off what is not known to be whole."""
        self._file.seek(written.size)
        self._file.truncate()

    def append(self, lines: list[bytes], vectors: int, reached: Reached) -> None:
        """Write a part. It counts once it is on the disk."""
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
        """Write the header, and give the file its name."""
        self._file.seek(0)
        self._file.write(_header_member(header))
        self._sync()
        self._partial.rename(self._path)
        self._progress.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave it as it is."""
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
        # It may have been finished, and so renamed, while it was opened here.
        self._refuse_existing()

    def _refuse_existing(self) -> None:
        if self._path.exists():
            raise MovingInputError(f"{self._path} exists already: remove it, or choose another name")

    def _left_by_another(self) -> Written | None:
        """What an export of the same that was cut off has written."""
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
