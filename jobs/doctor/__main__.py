"""Looks for what is wrong with an installation, and says what to do: `python -m jobs.doctor --help`."""

import sys

from jobs.doctor.command import main
from jobs.process import log_to_stderr, stop_politely

if __name__ == "__main__":
    log_to_stderr()
    stop_politely()
    sys.exit(main())
