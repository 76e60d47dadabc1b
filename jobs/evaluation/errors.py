"""The errors of an evaluation."""

from deployments.errors import MemoryLayerError


class EvaluationInputError(MemoryLayerError):
    """The evaluation's input is invalid: one line that says where and why."""

    code = "evaluation_input_error"


class EvaluationFailedError(MemoryLayerError):
    """The evaluation cannot continue: its result would not measure what was asked."""

    code = "evaluation_failed"
