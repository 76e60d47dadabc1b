"""The jobs as console scripts: `memory-layer-keys` does what `python -m jobs.keys` does."""

import runpy
import sys
from pathlib import Path

_PREFIX = "memory-layer-"


def main() -> None:
    """Run the job that the name of the script ends with."""
    job = Path(sys.argv[0]).name.removeprefix(_PREFIX)
    runpy.run_module(f"jobs.{job}", run_name="__main__", alter_sys=True)
