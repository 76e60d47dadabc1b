"""Loading of `.env`, for the launcher, jobs and load tests. Variables that are already set take precedence."""

from io import StringIO
from pathlib import Path

from dotenv import load_dotenv

from deployments.errors import ConfigurationError


def load_env_file(path: Path | None = None) -> str:
    """Load `path`, by default `.env` in the current folder, into the environment. Return its text; "" for no file.

    Raises `ConfigurationError` if it cannot be read, with one sentence that quotes nothing of the file.
    """
    path = path or Path.cwd() / ".env"
    try:
        if not path.is_file():
            return ""
        text = path.read_text(encoding="utf-8")
        load_dotenv(stream=StringIO(text), override=False)
    except OSError as error:
        why = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        why = "it is no UTF-8 text"
    except ValueError:
        why = "it holds a NUL character"
    else:
        return text
    raise ConfigurationError(f"{path} cannot be read: {why}")
