"""The old name of `jobs.transfer.records`."""

from jobs.transfer.records import RecordFile

__all__ = ["RecordFile"]
