"""One-line descriptions of pydantic's validation errors."""

from dataclasses import dataclass

from pydantic import ValidationError


@dataclass(frozen=True)
class Fault:
    """A fault: its place, which is empty for the whole value, and its reason."""

    place: tuple[int | str, ...]
    reason: str

    def __str__(self) -> str:
        where = ".".join(map(str, self.place))
        return f"{where}: {self.reason}" if where else self.reason


def faults(error: ValidationError, *within: str) -> list[Fault]:
    """Return each fault without the given value, which may be secret. `within`: the place of the whole value."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return [Fault((*within, *each["loc"]), each["msg"].removeprefix("Value error, ")) for each in found]


def first_fault(error: ValidationError, *within: str) -> str:
    """Return the first fault as `place: reason`, or only its reason if it has no place."""
    return str(faults(error, *within)[0])
