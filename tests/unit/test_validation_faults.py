"""What pydantic finds wrong, in a line."""

from typing import Self

import pytest
from pydantic import BaseModel, ValidationError, model_validator

from deployments.validation_faults import Fault, faults, first_fault


class Range(BaseModel):
    """From `low` to `high`."""

    low: int
    high: int

    @model_validator(mode="after")
    def check(self) -> Self:
        """What is wrong with the whole has no place."""
        if self.low > self.high:
            raise ValueError("must go up")
        return self


class Ranges(BaseModel):
    """Several."""

    ranges: list[Range]


def refused(model: type[BaseModel], value: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value)
    return caught.value


def test_a_fault_has_its_place_and_its_reason() -> None:
    error = refused(Ranges, {"ranges": [{"low": 1, "high": 2}, {"low": 2, "high": 1}, {"low": "secret", "high": 1}]})

    assert faults(error)[0] == Fault(("ranges", 1), "must go up")
    assert [str(fault) for fault in faults(error)] == [
        "ranges.1: must go up",
        "ranges.2.low: Input should be a valid integer, unable to parse string as an integer",
    ]


def test_what_is_wrong_as_a_whole_has_no_place_but_that_in_which_it_stands() -> None:
    error = refused(Range, {"low": 2, "high": 1})

    assert first_fault(error) == "must go up"
    assert first_fault(error, "args") == "args: must go up"
