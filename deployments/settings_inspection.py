"""Detection of invalid values and unknown names in the environment."""

from collections.abc import Iterable
from typing import get_type_hints

from pydantic import ValidationError

from deployments.errors import ConfigurationError
from deployments.settings import Settings, problem_lines


def all_problems() -> list[str]:
    """Return all problems of the environment, one line each. `Settings.load` raises only the first."""
    problems: list[str] = []
    for group in get_type_hints(Settings).values():
        try:
            group()
        except ValidationError as error:
            problems += problem_lines(group, error)
    if not problems:
        try:
            Settings.load()
        except ConfigurationError as error:
            problems.append(error.message)
    return problems


# Set by the launcher for the processes that it starts.
_INTERNAL_NAMES = frozenset({"MEMORY_RUN_DIRECTORY", "MEMORY_HAPROXY_BINARY"})


def known_names() -> frozenset[str]:
    """Return the name of every setting."""
    return frozenset(
        f"{group.model_config['env_prefix']}{name}".upper()
        for group in get_type_hints(Settings).values()
        for name in group.model_fields
    )


def unknown_names(environment: Iterable[str]) -> list[str]:
    """Return, in order, the names that look like a setting and are none."""
    own = (name for name in environment if name.startswith("MEMORY_"))
    return sorted(set(own) - known_names() - _INTERNAL_NAMES)
