"""Exports a tenant to a file."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deployments.schemas.transfer import Header
from deployments.storage.postgres.database import Database
from deployments.storage.transfer.snapshots import TenantSnapshot, tenant_snapshot
from jobs.progress import Progress
from jobs.transfer.errors import FileUnwritableError
from jobs.transfer.unfinished_file import UnfinishedFile


@dataclass(frozen=True)
class Export:
    """Options of an export: the tenant, or one of its users, and the path of the file."""

    tenant_id: str
    path: Path
    with_vectors: bool
    user_id: str | None = None

    @property
    def whose(self) -> str:
        """Return the display name of the tenant or the user."""
        return self.tenant_id if self.user_id is None else f"{self.tenant_id}'s user {self.user_id}"


async def export_tenant(database: Database, export: Export, progress: Progress, say: Callable[[str], None]) -> Header:
    """Write a snapshot of a tenant or of one of its users. Return the file's header.

    Continues an interrupted export if nothing that it wrote was changed or deleted since, so the file is still one
    snapshot. `say` reports whether it continues. Raises `MovingInputError`, `FileUnwritableError`,
    `DatabaseUnavailableError`.
    """
    file = UnfinishedFile(export.path, export.tenant_id, export.user_id, with_vectors=export.with_vectors)
    try:
        async with tenant_snapshot(database, export.tenant_id, export.user_id) as snapshot:
            await _go_on(file, snapshot, say)
            return await _write(file, snapshot, export, progress)
    except OSError as error:
        raise FileUnwritableError(f"{export.path} cannot be written: {error.strerror}") from error
    finally:
        # Closing flushes again what did not fit, and fails again.
        with suppress(OSError):
            file.close()


async def _go_on(file: UnfinishedFile, snapshot: TenantSnapshot, say: Callable[[str], None]) -> None:
    if file.written is None:
        file.begin()
    elif await snapshot.holds_what_was_read(file.written.reached):
        say(f"Going on after {file.written.reached.messages:,} messages that were exported before.")
        file.go_on(file.written)
    else:
        say("What was exported before has changed since: beginning again.")
        file.begin()


async def _write(file: UnfinishedFile, snapshot: TenantSnapshot, export: Export, progress: Progress) -> Header:
    counts = await snapshot.counts()
    reached = file.written.reached if file.written else None
    with progress.step(f"exporting {export.whose}", counts.messages) as advance:
        advance(reached.messages if reached else 0)
        async for page in snapshot.pages(reached, with_vectors=export.with_vectors):
            file.append(page.lines, page.vectors, page.reached)
            advance(len(page.lines))
    header = Header(
        tenant_id=export.tenant_id,
        user_id=export.user_id,
        exported_at=counts.taken_at,
        space=counts.space if export.with_vectors else None,
        messages=counts.messages,
        vectors=file.written.vectors if file.written else 0,
    )
    file.finish(header.model_dump_json().encode())
    return header
