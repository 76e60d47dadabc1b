"""The errors of exports and imports."""

from deployments.errors import MemoryLayerError


class MovingInputError(MemoryLayerError):
    """The input is invalid: one line that says where and why."""

    code = "moving_input_error"


class DamagedFileError(MemoryLayerError):
    """The file is truncated or corrupt."""

    code = "damaged_file"


class FileUnwritableError(MemoryLayerError):
    """The file cannot be written, for example because its disk is full."""

    code = "file_unwritable"
