"""Checks of the embedded Postgres, which never start it: its server and its disk."""

import shutil
from pathlib import Path

from deployments.command_lines import module_command
from deployments.storage.postgres.embedded import made_by, running_url
from deployments.storage.postgres.server_programs import VERSION
from jobs.doctor.findings import Finding, problem, warning, well

CHECK = "database.embedded"
LEAST_FREE_BYTES, LOW_FREE_BYTES = 256 * 1024**2, 2 * 1024**3


def judge_embedded(data_dir: Path) -> list[Finding]:
    """Check whether it runs and has disk space."""
    try:
        return [_server(data_dir), *_disk(data_dir)]
    except PermissionError:
        said = f"MEMORY_DATA_DIR: no permission for {data_dir}: it belongs to another user."
        return [problem(CHECK, said, "Call the doctor as the user of the service.")]


def _server(data_dir: Path) -> Finding:
    version = made_by(data_dir)
    if version is not None and version != str(VERSION):
        said = f"{data_dir} was made by Postgres {version}, and this version of the service carries {VERSION}."
        return problem(CHECK, said, "Dump it with the old version of the service and restore it (docs/backup.md).")
    if running_url(data_dir) is not None:
        return well(CHECK, f"The embedded Postgres {VERSION} of {data_dir} runs.")
    if version is None:
        said = f"There is no database under {data_dir} yet."
        advice = "Start the service, or set MEMORY_DATA_DIR to where it keeps its data (`make serve`: .data)."
        return warning(CHECK, said, advice, _start())
    said = f"The embedded Postgres of {data_dir} does not run."
    return problem(CHECK, said, "Start the service, which starts it too.", _start())


def _start() -> str:
    return module_command("serve_app.launch")


def _disk(data_dir: Path) -> list[Finding]:
    directory = data_dir.expanduser().resolve()
    if not directory.is_dir():
        return []
    return [judge_disk(directory, shutil.disk_usage(directory).free)]


def judge_disk(directory: Path, free: int) -> Finding:
    """Judge the disk. `free`: bytes."""
    said = f"{free / 1e9:,.1f} GB are free where {directory} is."
    advice = "Make room: a full disk stops every store. Retention deletes what is old (docs/retention.md)."
    if free < LEAST_FREE_BYTES:
        return problem("disk", said, advice)
    return warning("disk", said, advice) if free < LOW_FREE_BYTES else well("disk", said)
