"""Looks for what is wrong with an installation, and says what to do: `python -m jobs.doctor --help`."""

from jobs.doctor.command import main
from jobs.process import run

if __name__ == "__main__":
    run(main)
