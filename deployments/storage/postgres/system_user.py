"""As whom Postgres runs, and who may connect to it: it refuses to run as root, and has a user of its own then."""

import os
import pwd
import shutil
import subprocess  # nosec B404
from pathlib import Path
from typing import Any

from deployments.errors import ConfigurationError

# Options of `subprocess.run`: whom a program runs as. Empty: as whom we run.
Identity = dict[str, Any]

_SYSTEM_USER = "pgserver"
# The kernel leads through it to a process's working directory, whoever may pass the directories above.
_WORKING_DIRECTORY = Path("/proc/self/cwd")


def identity(directory: Path) -> Identity:
    """Return by which options root acts as the owner of the files in `directory`."""
    if os.geteuid() != 0:
        return {}
    owner = directory.stat()
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}


def hand_over(directory: Path) -> None:
    """Give a new directory to the system user that runs the server in root's place."""
    if os.geteuid() != 0:
        return
    user = _system_user() or _make_system_user()
    os.chown(directory, user.pw_uid, user.pw_gid)


def may_connect(directory: Path) -> list[str]:
    """Return the names of the users whose processes may connect: the owner of the files, and root.

    Raises `ConfigurationError` if this process has no name, without which Postgres cannot tell it from others.
    """
    # The owner may have none: a volume outlives the container in which root made the system user.
    names = {user: _name(user) for user in (directory.stat().st_uid, 0)}
    if names.get(os.geteuid()) is None:
        raise ConfigurationError(f"The user with the number {os.geteuid()} has no name, which Postgres asks for")
    return sorted({name for name in names.values() if name is not None})


def path_for_server(directory: Path) -> Path:
    """Return by which path a program reaches `directory`, which is its working directory, as its owner.

    Where root's system user may not pass the directories above, whose permissions are the operator's, it is the
    kernel's own link (docs/decisions/0040-who-reaches-postgres.md).
    """
    if may_enter(directory, identity(directory)) or not _WORKING_DIRECTORY.is_dir():
        return directory
    return _WORKING_DIRECTORY


def from_server(path: Path, directory: Path) -> Path:
    """Return what the server of `directory` means by one of its paths."""
    return directory if path == _WORKING_DIRECTORY else path


def may_enter(path: Path, acting: Identity) -> bool:
    """Whether a user may enter a directory, or run a program, by the kernel's own word."""
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
    # Looked up whatever useradd said: another process may have made the user in the meantime.
    user = _system_user()
    if user is None:
        raise ConfigurationError(
            f"Postgres does not run as root, and `useradd {_SYSTEM_USER}` does not work here: "
            "run the service as another user, or set MEMORY_DATABASE_URL"
        )
    return user
