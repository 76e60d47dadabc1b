"""Access control of the embedded Postgres: peer authentication over a socket in a private directory."""

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from deployments.errors import ConfigurationError
from deployments.private_directory import keep_private
from deployments.storage.postgres.system_user import hand_over, identity, may_connect, may_enter

_UNIX_SOCKET_PATH_MAX = 103
_SOCKET_NAME = ".s.PGSQL.5432"
_PREFIX = "memory-pg-"
_WRITTEN = "# Written by the service when it starts this server: changes are lost.\n"
# https://www.postgresql.org/docs/18/auth-peer.html: the kernel names the connecting user.
_CLIENTS = f"{_WRITTEN}local all all peer map=service\nlocal replication all peer map=service\n"


def is_guarded(directory: Path) -> bool:
    """Return whether the server's files allow only its own users. Clusters of earlier versions trust everybody."""
    return all((directory / name).read_text() == text for name, text in _files(directory).items())


def guard(directory: Path) -> None:
    """Write the files that say who may connect. A running server must be told to reload them."""
    owner = directory.stat()
    for name, text in _files(directory).items():
        # A new file, moved into place, so that root does not write through a link of another user.
        new = directory / f"{name}.{uuid4().hex}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.write(text)
        new.replace(directory / name)


def _files(directory: Path) -> dict[str, str]:
    users = "".join(f'service "{name}" all\n' for name in may_connect(directory))
    return {"pg_hba.conf": _CLIENTS, "pg_ident.conf": f"{_WRITTEN}{users}"}


def check_sockets(sockets: Path, directory: Path) -> None:
    """Raise `ConfigurationError` if the socket may belong to somebody else than the server of `directory`."""
    if sockets != directory:
        keep_private(sockets, directory.stat().st_uid)


def make_sockets(directory: Path, last: Path | None) -> Path:
    """Return the socket directory for a server that is about to start: beside the data, unless that path is unusable.

    If the path is too long or odd, use the private directory of the `last` run, which clients know, or a new one.
    """
    if _fits(directory):
        return directory
    if last is not None and last != directory and last.name.startswith(_PREFIX):
        # If somebody else made that directory meanwhile, the server gets a new one.
        with suppress(ConfigurationError):
            check_sockets(last, directory)
            return last
    root = tempfile.gettempdir()
    if not _fits(Path(root, f"{_PREFIX}12345678")) or not may_enter(Path(root), identity(directory)):
        root = "/tmp"  # noqa: S108 - the directory in it has a name that nobody knows before # nosec B108
    sockets = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    hand_over(sockets)
    return sockets


def remove_sockets(sockets: Path) -> None:
    """Remove the directory that `make_sockets` created, after its server has ended."""
    if sockets.name.startswith(_PREFIX):
        shutil.rmtree(sockets, ignore_errors=True)


def _fits(directory: Path) -> bool:
    plain = re.fullmatch(r"[\w./+-]+", str(directory), re.ASCII) is not None
    return plain and len(str(directory / _SOCKET_NAME)) <= _UNIX_SOCKET_PATH_MAX
