"""Converts a message of a foreign file into one that the service accepts."""

from typing import Any

from pydantic import ValidationError

from deployments.schemas.messages import NewMessage
from deployments.validation_faults import first_fault
from jobs.evaluation.dataset import LabelledMessage
from jobs.evaluation.errors import EvaluationInputError


def labelled(label: str, where: str, **fields: Any) -> LabelledMessage:
    """Return a validated message. Raises an `EvaluationInputError` whose text starts with `where`."""
    try:
        return LabelledMessage(label, NewMessage(**fields))
    except ValidationError as error:
        raise EvaluationInputError(f"{where}: message {label}: {first_fault(error)}") from None
