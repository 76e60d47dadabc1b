"""What pydantic finds wrong with a value, in one line."""

from dataclasses import dataclass

from pydantic import ValidationError


@dataclass(frozen=True)
class Fault:
    """Where a value is wrong, empty for the value as a whole, and why."""

    place: tuple[int | str, ...]
    reason: str

    def __str__(self) -> str:
        where = ".".join(map(str, self.place))
        return f"{where}: {self.reason}" if where else self.reason


def faults(error: ValidationError, *within: str) -> list[Fault]:
    """Return each fault, without the value that was given: it may be secret. `within`: where the whole value is."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return [Fault((*within, *each["loc"]), each["msg"].removeprefix("Value error, ")) for each in found]


def first_fault(error: ValidationError, *within: str) -> str:
    """Return the first fault as `place: reason`, or its reason alone where it has no place."""
    return str(faults(error, *within)[0])
