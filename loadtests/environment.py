"""Which database the service on this machine uses, so that the floor uses the same one."""

import os
from pathlib import Path

from deployments.env_file import load_env_file

_PROJECT = Path(__file__).resolve().parents[1]


def use_the_services_database() -> None:
    """Read `.env` as `make serve` does; without any setting, the data is where `make serve` keeps it."""
    load_env_file()
    os.environ.setdefault("MEMORY_DATA_DIR", str(_PROJECT / ".data"))
