"""Selects the database of the local service, so that the floor uses the same one."""

import os
from pathlib import Path

from deployments.env_file import load_env_file

_PROJECT = Path(__file__).resolve().parents[1]


def use_the_services_database() -> None:
    """Read `.env` like `make serve`; without any setting, use the data directory of `make serve`."""
    load_env_file()
    os.environ.setdefault("MEMORY_DATA_DIR", str(_PROJECT / ".data"))
