"""Name what the tests are parametrized by, alike in each process that collects them; let properties take their time."""

import pytest
import structlog
from hypothesis import settings

# By default an example that takes over 200 ms fails: on a busy machine that says nothing of what is tested.
settings.register_profile("without-deadline", deadline=None)
settings.load_profile("without-deadline")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Return the argument's name for bytes, to which pytest adds the place in the list, or None for the rest.

    pytest would put the bytes themselves into the test's name. gzip writes the time into them, and pytest-xdist
    stops when its workers, which collect at their own times, name a test differently.
    """
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """A traceback with every local variable takes seconds to draw."""
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, renderer])
