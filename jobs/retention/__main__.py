"""Archives and deletes the messages that retention policies select: `python -m jobs.retention --help`."""

from jobs.process import run
from jobs.retention.command import main

if __name__ == "__main__":
    run(main)
