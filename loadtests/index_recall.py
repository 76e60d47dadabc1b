"""Measures recall and cost of the HNSW index against exact search, by the tenant's size:
`python -m loadtests.index_recall DATA --out FILE.json --chart FILE.svg`.

DATA is a file that `python -m jobs.evaluate` reads too. The script stores the pieces of its messages and asks its
questions. One tenant grows beside others in a temporary database that is deleted afterwards. With LongMemEval's 12,000
messages this takes some ten minutes; `--sizes 1000 5000 --others 5000` takes half a minute.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from deployments.embedding.providers.registry import create_provider
from deployments.embedding_space import embedding_space
from deployments.errors import MemoryLayerError
from deployments.settings import Settings
from deployments.storage.postgres.database import Database, PoolSize
from deployments.storage.postgres.temporary import settle, temporary_database, temporary_server
from deployments.storage.tenants.languages import default_languages
from jobs.evaluation.errors import EvaluationFailedError
from jobs.progress import Progress, progress_on_stderr
from loadtests.environment import use_the_services_database
from loadtests.index_recall_chart import draw
from loadtests.index_recall_memory import LargeMemory, dealt, other_tenants
from loadtests.index_recall_texts import Texts, read_texts
from loadtests.index_recall_ways import MEASURED, WALKED, Asked, Comparison, Figures, Way, embedded

TENANT = "grows"
# An insert of thousands of rows takes longer than a search may.
STATEMENT_SECONDS = 600.0
FEW = 20


@dataclass(frozen=True)
class Options:
    """The command-line options."""

    data: Path
    sizes: list[int]
    others: int
    queries: int
    also: list[Way]
    seed: int
    out: Path | None
    chart: Path | None


@dataclass(frozen=True)
class Measured:
    """All results. `tenant`: the one that grows; `others`: some tenants beside it, measured at the end.

    `limit`: number of neighbours searched for; `exact_limit`: the service searches exactly up to this many vectors.
    """

    at: datetime
    data: str
    queries: int
    other_rows: int
    limit: int
    exact_limit: int
    tenant: list[Figures]
    others: list[Figures]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write. Return 1 on failure."""
    options = _options(arguments)
    use_the_services_database()
    # SIGTERM unwinds the stack too: the temporary database must not be left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        measured = measure(options, progress_on_stderr())
    except MemoryLayerError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    print(table(measured))
    if options.out is not None:
        options.out.write_bytes(orjson.dumps(measured, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if options.chart is not None:
        options.chart.write_text(draw(measured.tenant, measured.limit, measured.exact_limit), encoding="utf-8")
    return 0


def measure(options: Options, progress: Progress) -> Measured:
    """Measure in a temporary database. Raises `EvaluationInputError` and errors of storage and providers."""
    settings = Settings.load()
    wanted = options.others + max(options.sizes)
    texts = read_texts(options.data, stored=wanted, asked=options.queries, seed=options.seed)
    patient = settings.database.model_copy(update={"statement_timeout_seconds": STATEMENT_SECONDS})
    settings = replace(settings, database=patient)
    with temporary_server(settings) as server, temporary_database(server, settings, "index_recall") as temporary:
        tenant, others = asyncio.run(_compare(temporary, options, texts, progress))
    return Measured(
        at=datetime.now(UTC),
        data=options.data.name,
        queries=options.queries,
        other_rows=options.others,
        limit=settings.search.candidates,
        exact_limit=settings.search.exact_limit,
        tenant=tenant,
        others=others,
    )


async def _compare(
    settings: Settings, options: Options, texts: Texts, progress: Progress
) -> tuple[list[Figures], list[Figures]]:
    url = settings.database.url
    if url is None:
        raise EvaluationFailedError("This is measured in temporary databases only.")
    database = Database(url.get_secret_value(), settings.database, PoolSize(min_size=1, max_size=1))
    provider = create_provider(settings)
    try:
        memory = LargeMemory(database, provider, default_languages(settings.search), options.seed)
        comparison = Comparison(database, settings, embedding_space(settings), [MEASURED, WALKED, *options.also])
        asked = await embedded(provider, texts.asked)
        return await _Run(database, memory, comparison, asked, progress).run(options, texts.stored)
    finally:
        await provider.close()
        await database.close()


@dataclass(frozen=True)
class _Run:
    """The growing tenant, and the measurements at its sizes."""

    database: Database
    memory: LargeMemory
    comparison: Comparison
    asked: Sequence[Asked]
    progress: Progress

    async def run(self, options: Options, texts: Sequence[str]) -> tuple[list[Figures], list[Figures]]:
        others = other_tenants(options.others)
        left = iter(texts)
        for tenant_id, share in dealt(left, others).items():
            await self._store(tenant_id, share)
        figures: list[Figures] = []
        stored = 0
        for size in sorted(set(options.sizes)):
            for share in dealt(left, {TENANT: size - stored}).values():
                await self._store(TENANT, share)
            stored = size
            await settle(self.database)
            figures += await self._compared(TENANT, size, self.asked)
        # One tenant of each size suffices.
        of_each_size = {size: tenant_id for tenant_id, size in others.items()}
        few = self.asked[:FEW]
        return figures, [
            each for size, other in of_each_size.items() for each in await self._compared(other, size, few)
        ]

    async def _store(self, tenant_id: str, texts: Sequence[str]) -> None:
        with self.progress.step(f"storing messages of {tenant_id}", len(texts)) as advance:
            await self.memory.store(tenant_id, texts, advance)

    async def _compared(self, tenant_id: str, rows: int, asked: Sequence[Asked]) -> list[Figures]:
        with self.progress.step(f"searching {tenant_id} ({rows:,})", len(asked)) as advance:
            return await self.comparison.compare(tenant_id, rows, asked, advance)


def table(measured: Measured) -> str:
    """Return a table with a line for each tenant and search plan."""
    head = f"{'recall@10':>10}{f'recall@{measured.limit}':>11}{'short':>7}{'index':>7}"
    head += f"{'p50 ms':>9}{'p95 ms':>9}{'p50 words':>11}{'p95 words':>11}"
    legend = f"""\
short: found fewer than {measured.limit}; index: the planner took the HNSW index; words: with the query's own words too.
{measured.queries} queries ({FEW} of the other tenants, which have {measured.other_rows:,} messages together).
The service searches tenants of up to {measured.exact_limit:,} vectors exactly."""
    lines = [_line(each) for each in (*measured.tenant, *measured.others)]
    return "\n".join([f"{'tenant':<18}{'rows':>8}  {'way':<24}{head}", *lines, legend])


def _line(each: Figures) -> str:
    shares = f"{each.recall_10:>10.1%}{each.recall:>11.1%}{each.short:>7.0%}{each.walked:>7.0%}"
    costs = f"{each.p50_ms:>9.1f}{each.p95_ms:>9.1f}{each.words_p50_ms:>11.1f}{each.words_p95_ms:>11.1f}"
    return f"{each.tenant:<18}{each.rows:>8,}  {each.way:<24}{shares}{costs}"


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m loadtests.index_recall", description=__doc__)
    parser.add_argument("data", type=Path, metavar="DATA", help="JSON Lines, LoCoMo's or LongMemEval's file")
    sizes = [1_000, 5_000, 20_000, 50_000, 100_000]
    parser.add_argument("--sizes", nargs="+", type=_positive, default=sizes, help="of the tenant (1000 ... 100000)")
    parser.add_argument("--others", type=_positive, default=50_000, help="messages of the other tenants (50000)")
    parser.add_argument("--queries", type=_positive, default=100, help="number of queries at each size (100)")
    parser.add_argument(
        "--also",
        nargs="+",
        type=_way,
        default=[],
        metavar="EF:SCAN",
        help="walk the index with these settings too: hnsw.ef_search and hnsw.iterative_scan, as in 100:strict_order",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of texts (0)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures to this file, as JSON")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw them into this file, as SVG")
    return Options(**vars(parser.parse_args(arguments)))


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _way(text: str) -> Way:
    ef_search, _, scan = text.partition(":")
    if scan not in {"off", "strict_order", "relaxed_order"}:
        raise argparse.ArgumentTypeError(f"{text!r} is nothing like 100:strict_order")
    return Way(exact=False, ef_search=str(_positive(ef_search)), iterative_scan=scan)


if __name__ == "__main__":
    sys.exit(main())
