"""Messages for the operator about an unreachable database. Clients get less detail."""

import os

import asyncpg

from deployments.command_lines import module_command
from deployments.errors import DatabaseUnavailableError, MemoryLayerError


def reason_of(cause: BaseException | None) -> str:
    """Return the displayable cause: messages of Postgres and the system have no password; others may have the URL."""
    if isinstance(cause, TimeoutError):
        return "it does not answer in time"
    if isinstance(cause, asyncpg.PostgresError | OSError):
        return str(cause).partition("\n")[0].rstrip(".") or type(cause).__name__
    return f"the driver gives up with {type(cause).__name__}: an option in the URL, or a PG* variable, may be wrong"


def operator_message(error: MemoryLayerError) -> str:
    """Return an error's message; for an unreachable database also the setting, the cause and where to look next."""
    if not isinstance(error, DatabaseUnavailableError) or error.__cause__ is None:
        return error.message
    setting = "MEMORY_DATABASE_URL" if os.environ.get("MEMORY_DATABASE_URL") else "MEMORY_DATA_DIR"
    reason = reason_of(error.__cause__)
    return f"{setting}: the database cannot be reached: {reason}. See `{module_command('jobs.doctor')}`"
