"""The errors of an evaluation."""

from deployments.errors import MemoryLayerError


class EvaluationInputError(MemoryLayerError):
    """What the evaluation was given makes no sense: one line that says where and why."""

    code = "evaluation_input_error"


class EvaluationFailedError(MemoryLayerError):
    """The evaluation cannot go on: what it would measure is not what was asked for."""

    code = "evaluation_failed"
