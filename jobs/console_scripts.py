"""Console scripts of the jobs: `memory-layer-keys` runs `python -m jobs.keys`."""

import runpy
import sys
from pathlib import Path

_PREFIX = "memory-layer-"


def main() -> None:
    """Run the job whose name ends the script's name."""
    job = Path(sys.argv[0]).name.removeprefix(_PREFIX)
    runpy.run_module(f"jobs.{job}", run_name="__main__", alter_sys=True)
