"""Diagnoses an installation and says how to fix it: `python -m jobs.doctor --help`."""

from jobs.doctor.command import main
from jobs.process import run

if __name__ == "__main__":
    run(main)
