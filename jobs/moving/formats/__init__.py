"""The old name of `jobs.transfer.formats`."""

from jobs.transfer.formats import recognition

__all__ = ["recognition"]
