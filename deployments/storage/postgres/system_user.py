"""The user that runs Postgres, which refuses to run as root, and the users that may connect."""

import os
import pwd
import shutil
import subprocess  # nosec B404
from pathlib import Path
from typing import Any

from deployments.errors import ConfigurationError

# Options of `subprocess.run` for the user of a program. Empty: our own user.
Identity = dict[str, Any]

_SYSTEM_USER = "pgserver"
# The kernel's link to a process's working directory, which needs no access to the directories above.
_WORKING_DIRECTORY = Path("/proc/self/cwd")


def identity(directory: Path) -> Identity:
    """Return the options by which root acts as the owner of the files in `directory`."""
    if os.geteuid() != 0:
        return {}
    owner = directory.stat()
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}


def hand_over(directory: Path) -> None:
    """Change the owner of a new directory to the system user that runs the server instead of root."""
    if os.geteuid() != 0:
        return
    user = _system_user() or _make_system_user()
    os.chown(directory, user.pw_uid, user.pw_gid)


def may_connect(directory: Path) -> list[str]:
    """Return the names of the users whose processes may connect: the owner of the files, and root.

    Raises `ConfigurationError` if this process has no name, without which Postgres cannot tell it from others.
    """
    # The owner may have no name: a volume outlives the container in which root created the system user.
    names = {user: _name(user) for user in (directory.stat().st_uid, 0)}
    if names.get(os.geteuid()) is None:
        raise ConfigurationError(f"The user with the number {os.geteuid()} has no name, which Postgres asks for")
    return sorted({name for name in names.values() if name is not None})


def path_for_server(directory: Path) -> Path:
    """Return the path by which a program of the owner reaches `directory`, which is its working directory.

    If root's system user may not enter the parent directories, whose permissions are the operator's, it is the
    kernel's link (docs/decisions/0040-who-reaches-postgres.md).
    """
    if may_enter(directory, identity(directory)) or not _WORKING_DIRECTORY.is_dir():
        return directory
    return _WORKING_DIRECTORY


def from_server(path: Path, directory: Path) -> Path:
    """Return a path that the server of `directory` has recorded, with the kernel's link resolved to `directory`."""
    return directory if path == _WORKING_DIRECTORY else path


def may_enter(path: Path, acting: Identity) -> bool:
    """Return whether a user may enter a directory or run a program. The kernel decides: this runs a test program."""
    if not acting:
        return True
    command = ["/usr/bin/test", "-x", str(path)]
    return subprocess.run(command, check=False, cwd="/", **acting).returncode == 0  # noqa: S603 - no shell # nosec B603


def _name(user: int) -> str | None:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return None


def _system_user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        return None


def _make_system_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is not None:
        command = [useradd, "--system", "--user-group", "--no-create-home", _SYSTEM_USER]
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - nothing from outside # nosec B603
    # Looked up even if useradd failed: another process may have created the user meanwhile.
    user = _system_user()
    if user is None:
        raise ConfigurationError(
            f"Postgres does not run as root, and `useradd {_SYSTEM_USER}` does not work here: "
            "run the service as another user, or set MEMORY_DATABASE_URL"
        )
    return user
