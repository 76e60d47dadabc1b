"""How a job ends: one line on stderr, and a status."""

from collections.abc import Sequence

import pytest

from deployments.errors import ConfigurationError, DatabaseUnavailableError, InvalidRequestError, NotFoundError
from jobs.terminal import FAILED, INTERRUPTED, MISUSED, OK, exit_statuses


def ending(error: BaseException | None) -> int:
    @exit_statuses("nothing is left", NotFoundError)
    def main(arguments: Sequence[str] | None = None) -> int:
        if error is not None:
            raise error
        return OK

    return main([])


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (None, OK, ""),
        (ConfigurationError("MEMORY_X: is none"), MISUSED, "error: MEMORY_X: is none\n"),
        (InvalidRequestError("name: is none"), MISUSED, "error: name: is none\n"),
        (NotFoundError("There is none."), MISUSED, "error: There is none.\n"),
        (DatabaseUnavailableError("It is away."), FAILED, "error: It is away.\n"),
        (KeyboardInterrupt(), INTERRUPTED, "error: interrupted: nothing is left\n"),
    ],
    ids=["well", "a setting", "a request", "what the job names", "another of ours", "Ctrl-C"],
)
def test_each_error_of_ours_has_its_status_and_one_line(
    error: BaseException | None, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(error) == status
    assert capsys.readouterr().err == line


def test_a_fault_of_ours_is_shown_whole() -> None:
    with pytest.raises(ZeroDivisionError):
        ending(ZeroDivisionError())
