"""Create, list and revoke API keys from the command line, also the first one: `python -m jobs.keys --help`."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pydantic import ValidationError

from deployments.errors import InvalidRequestError
from deployments.schemas.api_keys import KeyScope, NewKey
from deployments.schemas.messages import MAX_PAGE
from deployments.settings import Settings
from deployments.storage.tenants.api_keys import ApiKeyRepository
from deployments.validation_faults import first_fault
from jobs.known_database import opened, prepared_settings
from jobs.process import run
from jobs.terminal import OK, exit_statuses

Command = Callable[[ApiKeyRepository], Awaitable[None]]


@exit_statuses("`list` shows what was done")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command on the database of the settings.

    Return 0; 1 if it failed; 2 if the arguments are invalid; 130 if interrupted.
    """
    options = _options(arguments)
    settings = prepared_settings(creates=options.command == "create")
    asyncio.run(_with_repository(settings, _command(options)))
    return OK


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobs.keys", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="create a key; it is printed only once")
    create.add_argument("--name", required=True, help="purpose of the key")
    create.add_argument("--tenant", help="bind the key to this tenant (default: all tenants)")
    create.add_argument("--user", help="bind the key to this user (needs --tenant and --scopes read,write)")
    create.add_argument("--scopes", default="read,write,admin", help="some of read,write,admin (default: all)")
    create.add_argument("--expires-in-days", type=float, help="default: never")
    create.add_argument("--rate-limit", help="such as 200/minute (default: from the settings)")
    commands.add_parser("list", help="list all keys, newest first, without their secrets")
    revoke = commands.add_parser("revoke", help="revoke a key, on every replica within a second")
    revoke.add_argument("id", type=UUID, help="the key's id, as `list` shows it")
    return parser.parse_args(arguments)


def _command(options: argparse.Namespace) -> Command:
    if options.command == "create":
        return _creating(_new_key(options))
    return _list if options.command == "list" else _revoking(options.id)


def _new_key(options: argparse.Namespace) -> NewKey:
    days = options.expires_in_days
    try:
        return NewKey(
            name=options.name,
            tenant_id=options.tenant,
            user_id=options.user,
            scopes=[KeyScope(scope.strip()) for scope in options.scopes.split(",")],
            expires_at=None if days is None else datetime.now(UTC) + timedelta(days=days),
            rate_limit=options.rate_limit,
        )
    except ValidationError as error:
        raise InvalidRequestError(first_fault(error)) from None
    except (ValueError, OverflowError) as error:
        raise InvalidRequestError(str(error)) from None


def _creating(new: NewKey) -> Command:
    async def create(keys: ApiKeyRepository) -> None:
        created = await keys.create(new)
        sys.stderr.write(f"Key {created.id} ({created.prefix}) is made. It is shown this once:\n")
        sys.stdout.write(f"{created.key}\n")

    return create


async def _list(keys: ApiKeyRepository) -> None:
    after = None
    while page := await keys.page(None, MAX_PAGE, after):
        for key in page:
            sys.stdout.write(f"{key.model_dump_json()}\n")
        after = (page[-1].created_at, page[-1].id)


def _revoking(key_id: UUID) -> Command:
    async def revoke(keys: ApiKeyRepository) -> None:
        sys.stderr.write(f"{await keys.revoke(key_id)} is revoked.\n")

    return revoke


async def _with_repository(settings: Settings, command: Command) -> None:
    async with opened(settings) as database:
        await command(ApiKeyRepository(database))


if __name__ == "__main__":
    run(main)
