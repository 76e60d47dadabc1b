"""Archives and deletes what the retention policies select: `python -m jobs.retention --help`."""

import sys

from jobs.process import log_to_stderr, stop_politely
from jobs.retention.command import main

if __name__ == "__main__":
    log_to_stderr()
    stop_politely()
    sys.exit(main())
