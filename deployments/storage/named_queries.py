"""The named queries of `queries/*.sql`."""

from functools import cache
from importlib.resources import files
from typing import Any

import aiosql


@cache
def load_queries(name: str, **literals: int) -> Any:
    """The queries of one file, as async functions of a connection and named parameters.

    `literals` replace `{placeholders}` where SQL wants a constant; numbers only, so that nothing can be injected.
    """
    text = files("deployments.storage").joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
    for placeholder, value in literals.items():
        text = text.replace(f"{{{placeholder}}}", str(int(value)))
    return aiosql.from_str(text, "asyncpg", mandatory_parameters=False)
