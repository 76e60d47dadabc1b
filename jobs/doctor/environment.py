"""`.env`: what stands in it counts where the environment says nothing, as for the launcher."""

from io import StringIO
from pathlib import Path

from dotenv import load_dotenv
from dotenv.parser import parse_stream

from jobs.doctor.findings import Finding, problem, warning

CHECK = "settings"


def read_env_file(path: Path) -> list[Finding]:
    """Put it into the environment, and say what of it cannot be read."""
    try:
        if not path.is_file():
            return []
        text = path.read_text(encoding="utf-8")
        load_dotenv(stream=StringIO(text), override=False)
    except OSError as error:
        return [_unread(path, error.strerror or type(error).__name__)]
    except UnicodeDecodeError:
        return [_unread(path, "it is no UTF-8 text")]
    except ValueError:
        return [_unread(path, "it holds a NUL character")]
    return [
        warning(CHECK, f"Line {line} of {path} makes no sense, and is left out.", "Write it as NAME=value.")
        for line in _senseless_lines(text)
    ]


def _senseless_lines(text: str) -> list[int]:
    wrong = [binding.original for binding in parse_stream(StringIO(text)) if binding.error]
    # Empty lines in front are taken for a part of the statement.
    return [each.line + each.string[: -len(each.string.lstrip())].count("\n") for each in wrong]


def _unread(path: Path, why: str) -> Finding:
    return problem(CHECK, f"{path} cannot be read: {why}.", "Mend it: .env.example shows each setting.")
