"""Shell commands to paste, which use this interpreter and this process's data directory."""

import os
import shlex
import sys
from pathlib import Path


def module_command(module: str, *arguments: str) -> str:
    """Return the command that runs a module of the service with this interpreter."""
    command = shlex.join([sys.executable, "-m", module, *arguments])
    data_dir = os.environ.get("MEMORY_DATA_DIR")
    if not data_dir:
        return command
    return f"MEMORY_DATA_DIR={shlex.quote(str(Path(data_dir).expanduser().resolve()))} {command}"


def script_command(script: str, *arguments: str) -> str:
    """Return the command that runs a program which is installed beside this interpreter, such as Ray's."""
    return shlex.join([str(Path(sys.executable).with_name(script)), *arguments])


def psql_command(*statements: str) -> str:
    """Return the command that runs statements in the service's database. It has no URL, which may hold a password."""
    embedded = "deployments.storage.postgres.embedded"
    options = " ".join(f"-c {shlex.quote(statement)}" for statement in statements)
    return f'"$({module_command(embedded, "programs")})/psql" "$({module_command(embedded, "url")})" {options}'
