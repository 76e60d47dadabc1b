"""Private directories: anyone who could reach their files could control the service."""

import os
from pathlib import Path

from deployments.errors import ConfigurationError


def keep_private(directory: Path, owner: int) -> None:
    """Restrict an existing directory to the user id `owner`.

    Raises `ConfigurationError` if it is a symbolic link, not a directory, or owned by somebody else.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise ConfigurationError(
            f"{directory} is no directory of this service's own ({error.strerror}): remove it, or set TMPDIR elsewhere"
        ) from error
    try:
        if os.fstat(descriptor).st_uid != owner:
            raise ConfigurationError(f"{directory} belongs to another user: remove it, or set TMPDIR elsewhere")
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
