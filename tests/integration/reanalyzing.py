"""Re-analysis in the process of the tests: without rests, and at once."""

from typing import TYPE_CHECKING

from deployments.settings import Settings
from deployments.storage.messages.reanalyses import ReanalysisRepository
from deployments.storage.messages.reanalyzing import Reanalyzer
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.tenants.languages import default_languages

if TYPE_CHECKING:
    from tests.integration.service import Service


def reanalyzer(repository: ReanalysisRepository) -> Reanalyzer:
    """One that waits for nothing."""
    return Reanalyzer(repository, pause_factor=0, settling_seconds=0)


async def reanalyze(repository: ReanalysisRepository) -> list[str]:
    """Analyse anew what is to be. Returns the tenants, in order."""
    await repository.adopt_policy()
    await repository.request_unanalyzed()
    tenants = []
    while tenant_id := await reanalyzer(repository).reanalyze_next():
        tenants.append(tenant_id)
    return tenants


async def reanalyze_all(service: "Service") -> list[str]:
    """The same, of a service's database."""
    return await reanalyze(service.reanalyses)


async def reanalyze_at(url: str, settings: Settings) -> list[str]:
    """The same, of a database."""
    database = Database(url, settings.database, PoolSize(0, 1))
    try:
        return await reanalyze(ReanalysisRepository(database, default_languages(settings.search)))
    finally:
        await database.close()
