"""Reading of the Serve config file, for the launcher and the doctor."""

from pathlib import Path
from typing import Any

import yaml

from deployments.errors import ConfigurationError


def read_serve_config(path: Path) -> Any:
    """Return the parsed YAML. Raises `ConfigurationError` that quotes nothing of the file, which may hold a key."""
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = f"is no YAML, line {mark.line + 1}" if mark else "is no YAML"
    except ValueError as error:
        # The text is not UTF-8, or has an impossible date.
        why = f"cannot be read: {type(error).__name__}"
    raise ConfigurationError(f"{path} {why}")
