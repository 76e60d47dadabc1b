"""As whom Postgres runs, and who may connect to it: it refuses to run as root, and has a user of its own then."""

import os
import pwd
import shutil
import stat
import subprocess  # nosec B404
from pathlib import Path
from typing import Any

from deployments.errors import ConfigurationError

_SYSTEM_USER = "pgserver"


def identity(directory: Path) -> dict[str, Any]:
    """Return the options of `subprocess.run` by which root acts as the owner of the files in `directory`."""
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

    Raises `ConfigurationError` for an owner without a name, whom Postgres cannot tell from others.
    """
    owner = directory.stat().st_uid
    try:
        return sorted({pwd.getpwuid(owner).pw_name, pwd.getpwuid(0).pw_name})
    except KeyError:
        raise ConfigurationError(f"The user with the number {owner} has no name, which Postgres asks for") from None


def check_passage(directory: Path, programs: Path) -> None:
    """Raise `ConfigurationError` where the system user cannot pass to its files and programs.

    Nothing is changed: the directories above are the operator's.
    """
    if os.geteuid() != 0:
        return
    acting = identity(directory)
    above = dict.fromkeys([*reversed(directory.parents), *reversed(programs.parents), programs])
    closed = [str(each) for each in above if not _may_enter(each, acting)]
    if not closed:
        return
    raise ConfigurationError(
        f"Postgres does not run as root but as {pwd.getpwuid(acting['user']).pw_name}, who may not pass "
        f"{', '.join(closed)}: run `chmod o+x {' '.join(closed)}`, keep the data (MEMORY_DATA_DIR) and the "
        "installation elsewhere, run the service as another user, or set MEMORY_DATABASE_URL"
    )


def _may_enter(directory: Path, acting: dict[str, Any]) -> bool:
    if directory.stat().st_mode & stat.S_IXOTH:
        return True
    # By the kernel's own word: a group or an access control list may let the user in.
    command = ["/usr/bin/test", "-x", str(directory)]
    return subprocess.run(command, check=False, **acting).returncode == 0  # noqa: S603 - no shell # nosec B603


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
