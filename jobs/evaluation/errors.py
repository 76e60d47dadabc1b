"""The errors of an evaluation, and how what pydantic finds wrong is said in one line."""

from pydantic import ValidationError

from deployments.errors import MemoryLayerError


class EvaluationInputError(MemoryLayerError):
    """What the evaluation was given makes no sense: one line that says where and why."""

    code = "evaluation_input_error"


class EvaluationFailedError(MemoryLayerError):
    """The evaluation cannot go on: what it would measure is not what was asked for."""

    code = "evaluation_failed"


def first_fault(error: ValidationError) -> str:
    """Where the first fault is, and what it is."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    return f"{place}: {reason}" if place else reason
