"""What the load test fills a database with is counted as if it had been stored."""

from loadtests.retention_memory import TENANTS, fill
from tests.integration.recount import recounted
from tests.integration.retaining import all_counts_hold, finished
from tests.integration.service import Service


async def test_a_filled_database_is_as_the_triggers_would_have_it(service: Service) -> None:
    connection = await service.database.connect()
    try:
        await fill(connection, 300)
        indexes = await connection.fetchval(
            "SELECT count(*) FROM pg_indexes WHERE indexname IN ('messages_embedding', 'messages_terms')"
        )
    finally:
        await connection.close()

    assert indexes == 2
    assert len(await recounted(service)) == TENANTS
    report = await finished(service.settings, dry_run=False)
    assert report.archived > 0
    await all_counts_hold(service)
