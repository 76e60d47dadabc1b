"""Recomputes the terms of stored messages in their tenants' languages: `python -m jobs.reanalyze`.

The service does the same in the background. Purpose, and the state after a kill: docs/languages.md.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from deployments.settings import Settings
from deployments.storage.messages.reanalyses import ReanalysisRepository
from deployments.storage.messages.reanalyzing import Reanalyzer
from deployments.storage.tenants.languages import default_languages
from jobs.known_database import opened, prepared_settings
from jobs.process import run
from jobs.progress import progress_on_stderr
from jobs.terminal import OK, exit_statuses, identifier

# The pause while other processes hold the remaining messages.
POLL_SECONDS = 1.0


@exit_statuses("the same command goes on")
def main(arguments: Sequence[str] | None = None) -> int:
    """Analyse the messages again. Return 0, 1 if it failed, 2 if the arguments are invalid, 130 if interrupted."""
    options = _options(arguments)
    settings = prepared_settings()
    asyncio.run(_run(options, settings))
    return OK


async def _run(options: argparse.Namespace, settings: Settings) -> None:
    async with opened(settings) as database:
        repository = ReanalysisRepository(database, default_languages(settings.search))
        stale = await repository.count_stale(options.tenant)
        if options.dry_run:
            sys.stdout.writelines(f"{tenant_id}: {count:,}\n" for tenant_id, count in stale.items())
        else:
            await repository.adopt_policy()
            await repository.request_stale(list(stale))
            await _reanalyze(repository, options.tenant, sum(stale.values()))


async def _reanalyze(repository: ReanalysisRepository, tenant_id: str | None, total: int) -> None:
    """Work until nothing is left, and wait for what other processes hold."""
    reanalyzer = Reanalyzer(repository)
    with progress_on_stderr().step("analysing messages", total) as advance:
        while await repository.is_under_way(tenant_id):
            if await reanalyzer.reanalyze_next(tenant_id, advance) is None:
                await asyncio.sleep(POLL_SECONDS)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobs.reanalyze", description=__doc__)
    parser.add_argument("--tenant", type=identifier, help="only this tenant's messages (default: all tenants')")
    parser.add_argument("--dry-run", action="store_true", help="only count the messages of each tenant")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
