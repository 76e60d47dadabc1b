"""Reads `.env`: its values apply where the environment sets none, as in the launcher."""

from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from deployments.env_file import load_env_file
from deployments.errors import ConfigurationError
from jobs.doctor.findings import Finding, problem, warning

CHECK = "settings"


def read_env_file(path: Path) -> list[Finding]:
    """Load the file into the environment, and report lines that cannot be parsed."""
    try:
        text = load_env_file(path)
    except ConfigurationError as error:
        return [problem(CHECK, f"{error.message}.", "Mend it: .env.example shows each setting.")]
    return [
        warning(CHECK, f"Line {line} of {path} makes no sense, and is left out.", "Write it as NAME=value.")
        for line in _invalid_lines(text)
    ]


def _invalid_lines(text: str) -> list[int]:
    wrong = [binding.original for binding in parse_stream(StringIO(text)) if binding.error]
    # The parser counts preceding empty lines as part of the statement.
    return [each.line + each.string[: -len(each.string.lstrip())].count("\n") for each in wrong]
