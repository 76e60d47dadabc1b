"""Directories for data of the embedded Postgres."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def passable_directory(prefix: str, within: str | None = None) -> Iterator[Path]:
    """Yield a directory that is removed afterwards, and that root's Postgres, which is another user, may pass."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=within) as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory
