"""The Serve config as it lies in a file: for the launcher, and for whoever looks for what is wrong with it."""

from pathlib import Path
from typing import Any

import yaml

from deployments.errors import ConfigurationError


def read_serve_config(path: Path) -> Any:
    """What the YAML holds. Raises `ConfigurationError` without a word of what stands there: it may hold a key."""
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = f"is no YAML, line {mark.line + 1}" if mark else "is no YAML"
    except ValueError as error:
        # Text that is no UTF-8, or a date that there never was.
        why = f"cannot be read: {type(error).__name__}"
    raise ConfigurationError(f"{path} {why}")
