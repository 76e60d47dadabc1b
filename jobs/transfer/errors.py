"""The errors of moving a tenant."""

from deployments.errors import MemoryLayerError


class MovingInputError(MemoryLayerError):
    """What was given makes no sense: one line that says where and why."""

    code = "moving_input_error"


class DamagedFileError(MemoryLayerError):
    """The file ends too early, or is not what was once written."""

    code = "damaged_file"


class FileUnwritableError(MemoryLayerError):
    """The file cannot be written on: its disk is full, say."""

    code = "file_unwritable"
