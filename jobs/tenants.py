"""Exports, imports and erases tenants: `python -m jobs.tenants --help`.

Formats, and what an import preserves: docs/moving.md.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import orjson

from deployments.errors import ConfigurationError, IdTakenError
from deployments.schemas.transfer import VectorSpace
from deployments.settings import Settings
from deployments.storage.embeddings.spaces import EmbeddingSpaceRepository
from deployments.storage.messages.analysis import message_analyzer
from deployments.storage.messages.conversations import ConversationRepository
from deployments.storage.postgres.database import Database
from deployments.storage.tenants.erasure import ErasureOrder, ErasureRepository
from deployments.storage.tenants.usage import UsageRepository
from deployments.storage.transfer.imports import ImportRepository
from jobs.known_database import opened, prepared_settings
from jobs.process import run
from jobs.progress import progress_on_stderr
from jobs.terminal import FAILED, OK, exit_statuses, identifier
from jobs.transfer.errors import MovingInputError
from jobs.transfer.exporting import Export, export_tenant
from jobs.transfer.formats.recognition import NAMES
from jobs.transfer.importing import import_file
from jobs.transfer.source import ImportOptions

Command = Callable[[argparse.Namespace, Settings, Database], Awaitable[int]]


@exit_statuses("the same command goes on", MovingInputError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Export, import or erase, on the database of the settings.

    Return 0; 1 if it failed or left anything out; 2 if the arguments are invalid; 130 if interrupted.
    """
    options = _options(arguments)
    settings = prepared_settings(creates=options.run is _import)
    return asyncio.run(_run(options, settings))


async def _run(options: argparse.Namespace, settings: Settings) -> int:
    command: Command = options.run
    try:
        async with opened(settings) as database:
            return await command(options, settings, database)
    except IdTakenError as error:
        raise MovingInputError(f"{error.message} --new-ids gives the copies ids of their own") from None


async def _export(options: argparse.Namespace, _: Settings, database: Database) -> int:
    export = Export(options.tenant, options.file, with_vectors=not options.without_vectors, user_id=options.user)
    header = await export_tenant(database, export, progress_on_stderr(), _say)
    sys.stdout.write(f"{header.model_dump_json()}\n")
    return OK


async def _import(options: argparse.Namespace, settings: Settings, database: Database) -> int:
    space = await _space(database)
    wanted = ImportOptions(space, options.tenant, options.format, options.without_vectors, options.new_ids)
    repository = ImportRepository(database, message_analyzer(database, settings.search), space)
    imported = await import_file(repository, options.file, wanted, progress_on_stderr(), _say)
    sys.stdout.write(f"{orjson.dumps(imported).decode()}\n")
    return FAILED if imported.refused else OK


async def _erase(options: argparse.Namespace, settings: Settings, database: Database) -> int:
    if options.conversation is None:
        count = (await UsageRepository(database, settings.quotas).get(options.tenant, options.user)).messages
        what = options.tenant if options.user is None else f"{options.tenant}'s user {options.user}"
    else:
        conversation = await ConversationRepository(database).get(options.tenant, options.conversation)
        count, what = conversation.messages, f"{options.tenant}'s conversation {options.conversation}"
    if not options.yes:
        and_facts = "with the facts that follow from them alone"
        raise MovingInputError(f"{count:,} messages of {what} would be erased, {and_facts}: --yes erases them")
    order = ErasureOrder(options.tenant, "job", options.conversation, options.user, revoke_keys=not options.keep_keys)
    with progress_on_stderr().step(f"erasing {what}", count) as advance:
        erasure = await ErasureRepository(database).erase(order, erased=advance)
    sys.stdout.write(f"{erasure.model_dump_json()}\n")
    return OK


async def _space(database: Database) -> VectorSpace:
    """Return the active space, which the settings need not name: docs/reembedding.md."""
    spaces = await EmbeddingSpaceRepository(database).get()
    if spaces is None:
        raise ConfigurationError("The database has no embedding space yet")
    active = spaces.active
    return VectorSpace(provider=active.provider, model=active.space.model, dimensions=active.space.dimensions)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobs.tenants", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export", help="write all messages of a tenant or a user into a gzipped file")
    export.set_defaults(run=_export)
    export.add_argument("tenant", type=identifier)
    export.add_argument("file", type=Path, help="the new file, such as acme.jsonl.gz; must not exist")
    export.add_argument("--user", type=identifier, help="only this user's messages")
    export.add_argument("--without-vectors", action="store_true", help="write a smaller file without embeddings")
    arrive = commands.add_parser("import", help="store the messages of a file that are missing")
    arrive.set_defaults(run=_import)
    arrive.add_argument("file", type=Path, help="JSON Lines or a JSON document, gzipped or not")
    arrive.add_argument("--tenant", type=identifier, help="the target tenant (default: the file's)")
    arrive.add_argument("--format", choices=NAMES, help="default: detected from the first line")
    arrive.add_argument("--without-vectors", action="store_true", help="ignore the file's embeddings and embed again")
    arrive.add_argument("--new-ids", action="store_true", help="import a copy, for another tenant")
    erase = commands.add_parser("erase", help="erase all data of a tenant, or a part of it; prints a receipt")
    erase.set_defaults(run=_erase)
    erase.add_argument("tenant", type=identifier)
    part = erase.add_mutually_exclusive_group()
    part.add_argument("--conversation", type=identifier, help="only this conversation")
    part.add_argument("--user", type=identifier, help="only this user's messages")
    erase.add_argument("--keep-keys", action="store_true", help="do not revoke the tenant's or the user's API keys")
    erase.add_argument("--yes", action="store_true", help="erase: without this, only count")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
