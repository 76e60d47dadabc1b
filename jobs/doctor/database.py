"""The database: its server, its schema, and what limits its performance or safety."""

import shlex
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from deployments.command_lines import module_command, psql_command
from deployments.embedding_space import space_source
from deployments.errors import ConfigurationError
from deployments.schemas.vectors import SpaceSource
from deployments.settings import Environment, Settings
from deployments.storage.embeddings.spaces import OtherState, Spaces
from deployments.storage.inspection import INDEXES, OTHER_VECTOR_INDEX, VECTOR_INDEX, Index, Inspection, Server
from deployments.storage.postgres.schema import revision_problem
from jobs.doctor.findings import Finding, problem, skipped, warning, well
from jobs.reembedding.decisions import ONE_MODEL

# From this version on, a statement ends soon after its client disconnects.
LEAST_POSTGRES = 140_000
# Earlier versions have no iterative scans: a search of a small tenant returned nothing.
LEAST_PGVECTOR = (0, 8, 0)
LONG_TRANSACTION_SECONDS = 600.0
ROWS_WITHOUT_STATISTICS = 10_000
DUE_SECONDS = 300.0
RETRY = (
    'curl -X POST "${URL:-http://localhost:8000}/v1/admin/embeddings/retry" -H "X-API-Key: $KEY" '
    "-H 'Content-Type: application/json' -d '{}'"
)
LOSES = {
    "fsync": "what was acknowledged is lost, or the whole database is, when the machine fails",
    "full_page_writes": "pages may be torn for good when the machine fails",
    "synchronous_commit": "what was acknowledged in the last second is lost when Postgres fails",
}


async def server(inspection: Inspection, settings: Settings) -> list[Finding]:
    """Check the server's version, whether it accepts writes, and whether a proxy is in between."""
    return judge_server(await inspection.server(), settings.database.statement_cache_size)


def judge_server(found: Server, cached: int) -> list[Finding]:
    """Judge the server. `cached`: number of prepared statements that each connection keeps."""
    if found.version_number < LEAST_POSTGRES:
        advice = f"Move to Postgres {LEAST_POSTGRES // 10_000} or newer (docs/backup.md)."
        return [problem("database.server", f"Postgres {found.version} is older than the service needs.", advice)]
    if found.read_only:
        advice = "Point MEMORY_DATABASE_URL to the primary; MEMORY_DATABASE_READ_URL is for standbys."
        return [problem("database.server", "It takes no writes: it is a standby, or set to read only.", advice)]
    findings = [well("database.server", f"Postgres {found.version}, {found.bytes / 1e6:,.0f} MB.")]
    if found.pooled and cached:
        said = f"A pooler stands between, and statements are prepared (MEMORY_DATABASE_STATEMENT_CACHE_SIZE={cached})."
        findings.append(
            warning("database.pooler", said, "Set it to 0, unless the pooler pools sessions, or follows statements.")
        )
    if found.plan_cache_mode != "force_custom_plan":
        said = "The settings that connections ask for do not arrive: plans are made once for all tenants."
        advice = "Have the pooler pass plan_cache_mode, jit and hnsw.* on, or set them for the database's role."
        findings.append(warning("database.pooler", said, advice))
    return findings


async def durability(inspection: Inspection, _: Settings) -> list[Finding]:
    """Check that acknowledged writes survive a crash."""
    return judge_switches(await inspection.switched_off())


def judge_switches(switched_off: Sequence[str]) -> list[Finding]:
    """Judge durability. `switched_off`: Postgres settings that are off."""
    findings = [
        problem("database.durability", f"{name} is off: {LOSES[name]}.", "Turn it on, and reload.", _turning_on(name))
        for name in switched_off
        if name in LOSES
    ]
    if "autovacuum" in switched_off:
        said = "autovacuum is off: tables grow, and searches become slow."
        findings.append(warning("database.vacuum", said, "Turn it on, and reload.", _turning_on("autovacuum")))
    return findings or [well("database.durability", "What is committed is on disk.")]


def _turning_on(name: str) -> str:
    return psql_command(f"ALTER SYSTEM SET {name} = on", "SELECT pg_reload_conf()")


async def extension(inspection: Inspection, settings: Settings) -> list[Finding]:
    """Check pgvector, which the migrations need."""
    found = await inspection.extension()
    if found.installed is None and found.available is None:
        advice = "Install pgvector on the server (Debian: postgresql-18-pgvector)."
        return [problem("database.extension", "The server has no pgvector.", advice)]
    if found.installed is None:
        said = f"pgvector {found.available} is there, but not in this database."
        return [problem("database.extension", said, "The migrations put it there.", _upgrade(settings))]
    if tuple(int(part) for part in found.installed.split(".")) < LEAST_PGVECTOR:
        said = f"pgvector {found.installed} has no iterative scans: searches of small tenants come back empty."
        advice = "Install a newer one on the server, then update the extension."
        return [problem("database.extension", said, advice, psql_command("ALTER EXTENSION vector UPDATE"))]
    return [well("database.extension", f"pgvector {found.installed}.")]


async def rights(inspection: Inspection, _: Settings) -> list[Finding]:
    """Check that our role has the privileges that the service needs."""
    check, found = "database.rights", await inspection.rights()
    for each in found.schemas:
        said = f"The role {found.role} may not use the schema {each}: the tables in it seem not to be there."
        return [
            problem(
                check, said, "Let it, as their owner.", psql_command(f"GRANT USAGE ON SCHEMA {each} TO {found.role}")
            )
        ]
    if found.tables:
        said = f"The role {found.role} may not both read and write {', '.join(found.tables)}."
        advice = "Let it, as their owner, or name the role in MEMORY_DATABASE_URL that may."
        grant = f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {found.role}"
        return [problem(check, said, advice, psql_command(grant))]
    return [well(check, f"The role {found.role} may read and write.")]


def _upgrade(settings: Settings) -> str:
    if settings.database.url is None:
        # The service migrates its embedded database at start.
        return module_command("serve_app.launch")
    config = Path(str(files("migrations"))).with_name("pyproject.toml")
    return module_command("alembic", *(["-c", str(config)] if config.is_file() else []), "upgrade", "head")


async def schema(inspection: Inspection, settings: Settings) -> list[Finding]:
    """Compare the revision of the schema with the code's."""
    revision = await inspection.revision()
    if revision is None and (await inspection.rights()).schemas:
        return [skipped("database.schema", "It cannot be seen: see database.rights.")]
    trouble = revision_problem(revision)
    if trouble is None:
        return [well("database.schema", f"At revision {revision}, as the code needs.")]
    advice = "Bring the schema and the code to one version."
    return [
        problem("database.schema", f"{trouble}.", advice, _upgrade(settings) if "upgrade head" in trouble else None)
    ]


async def indexes(inspection: Inspection, _: Settings) -> list[Finding]:
    """Check the indexes that the migrations create, and the vector indexes."""
    spaces = await inspection.spaces()
    return judge_indexes(await inspection.indexes(), spaces)


def judge_indexes(found: Sequence[Index], spaces: Spaces | None) -> list[Finding]:
    """Judge indexes: a missing one makes queries scan, an invalid one slows every write and helps no search."""
    by_name = {index.name: index for index in found}
    wanted = INDEXES if spaces is None else INDEXES | {VECTOR_INDEX}
    findings = [
        problem(
            "database.indexes",
            f"The index {name} is missing: queries scan whole tables.",
            "Make it as the migration does that names it.",
            shlex.join(["grep", "-rn", name, str(files("migrations") / "versions")]),
        )
        for name in sorted(wanted - by_name.keys())
    ]
    findings += [_unusable(index, spaces) for index in found if not index.usable]
    findings += _vectors(by_name.get(VECTOR_INDEX), spaces)
    return findings or [well("database.indexes", f"All {len(wanted)} are there and usable.")]


def _unusable(index: Index, spaces: Spaces | None) -> Finding:
    if index.name == OTHER_VECTOR_INDEX and spaces is not None and spaces.other is not None:
        said = f"The index {index.name} is being made, or its making was cut short."
        return warning("database.indexes", said, "The same jobs.reembed goes on with it.")
    said = f"The index {index.name} is not valid: its making was cut short, and no query uses it."
    command = psql_command(f"REINDEX INDEX CONCURRENTLY {index.name}")
    return problem("database.indexes", said, "Make it anew; drop it, if its name ends in _ccnew or _ccold.", command)


def _vectors(index: Index | None, spaces: Spaces | None) -> list[Finding]:
    if index is None or spaces is None:
        return []
    dimensions = spaces.active.space.dimensions
    if f"halfvec({dimensions})" in index.definition and "hnsw" in index.definition:
        return []
    said = f"The index {VECTOR_INDEX} does not fit the active space of {dimensions} dimensions."
    return [problem("database.indexes", said, "Restore it, or re-embed into another space (docs/reembedding.md).")]


async def embedding_space(inspection: Inspection, settings: Settings) -> list[Finding]:
    """Compare the settings with the stored embedding space, and report a re-embedding that was not finished."""
    spaces = await inspection.spaces()
    check = "database.embedding_space"
    if spaces is None:
        return [well(check, "None yet: the first start takes that of the settings.")]
    findings = [_fit(spaces, settings)]
    if spaces.other is not None and spaces.other_state is OtherState.NEXT:
        findings.append(await _unfinished(inspection, spaces.other))
    elif spaces.other is not None:
        said = f"The space that was left, {_named(spaces.other)}, is kept and goes on being filled."
        findings.append(
            warning(check, said, "Drop it when nobody wants to go back.", module_command("jobs.reembed", "--drop"))
        )
    return findings


def _fit(spaces: Spaces, settings: Settings) -> Finding:
    check = "database.embedding_space"
    try:
        asked = space_source(settings)
    except ConfigurationError as error:
        return problem(check, error.message, "Set what is missing.")
    held = [source.space for source in (spaces.active, spaces.other) if source is not None]
    if asked.space not in held:
        said = f"The settings ask for {_named(asked)}, but the database holds {_named(spaces.active)}."
        advice = "Set the provider, model and dimensions back, and let jobs.reembed take it to another space."
        return problem(check, said, advice)
    return well(check, f"{_named(spaces.active)} is active.")


async def _unfinished(inspection: Inspection, other: SpaceSource) -> Finding:
    check = "database.reembedding"
    found = await inspection.reembedding()
    filled = f"{found.filled:,} of {found.embedded:,} messages"
    if found.trouble is not None:
        advice = "Set what the new space's provider needs where the service runs, and restart it."
        return problem(check, f"A replica cannot embed in {_named(other)}: {found.trouble}", advice)
    if found.running:
        return well(check, f"A job is re-embedding into {_named(other)}: {filled}.")
    said = f"A re-embedding into {_named(other)} was left at {filled}."
    return warning(check, said, "Call it again to go on, or give it up with --drop.", _reembed(other))


def _reembed(other: SpaceSource) -> str:
    model = [] if other.provider in ONE_MODEL else ["--model", other.space.model]
    dimensions = ["--dimensions", str(other.space.dimensions)]
    return module_command("jobs.reembed", "--provider", other.provider, *model, *dimensions)


def _named(source: SpaceSource) -> str:
    return f"{source.space.model} with {source.space.dimensions} dimensions"


async def statistics(inspection: Inspection, _: Settings) -> list[Finding]:
    """Find large tables without planner statistics."""
    found = await inspection.never_analyzed(ROWS_WITHOUT_STATISTICS)
    findings = [
        warning(
            "database.statistics",
            f"{name} was never analyzed: its plans are guesses.",
            "Do it now, and see why autovacuum does not.",
            psql_command(f"ANALYZE {name}"),
        )
        for name in found
    ]
    return findings or [well("database.statistics", "The planner knows the large tables.")]


async def transactions(inspection: Inspection, _: Settings) -> list[Finding]:
    """Find transactions that hold back vacuum."""
    findings = [
        warning(
            "database.transactions",
            f"A transaction of {each.application} ({each.who}, {each.state or 'unknown'}) is open for "
            f"{each.seconds / 60:,.0f} minutes: nothing that is dead since can be removed.",
            "End what it belongs to.",
            None if each.state == "prepared" else psql_command(f"SELECT pg_terminate_backend({each.who})"),
        )
        for each in await inspection.long_transactions(LONG_TRANSACTION_SECONDS)
    ]
    if hidden := await inspection.hidden_sessions():
        findings.append(_hidden(hidden, (await inspection.rights()).role))
    return findings or [well("database.transactions", "None is open for long.")]


def _hidden(sessions: int, role: str) -> Finding:
    said = f"What other roles do in {sessions} sessions is hidden from {role}: one may hold back vacuum unseen."
    advice = "As a superuser let it see them, the text of their statements too; or call the doctor as one who may."
    return skipped("database.transactions", said, advice, psql_command(f"GRANT pg_read_all_stats TO {role}"))


async def backlog(inspection: Inspection, _: Settings) -> list[Finding]:
    """Report the numbers of pending and of failed embeddings."""
    found = await inspection.backlog()
    findings = []
    if found.due_seconds > DUE_SECONDS:
        said = (
            f"{found.pending:,} messages wait for their embedding, the first for {found.due_seconds / 60:,.0f} minutes."
        )
        advice = "See whether the service runs and the provider works; else add Embedding replicas."
        findings.append(warning("embeddings.backlog", said, advice))
    if found.failed:
        said = f"The embedding of {found.failed:,} messages was given up: they are found by words alone."
        command = RETRY
        findings.append(warning("embeddings.failed", said, "When its cause is gone, try them again.", command))
    return findings or [well("embeddings.backlog", f"{found.pending:,} messages wait, none for long.")]


async def keys(inspection: Inspection, settings: Settings) -> list[Finding]:
    """Check whether anyone may do everything."""
    if settings.access.root_keys or await inspection.has_keys():
        return [well("keys", "The service asks for a key.")]
    command = module_command("jobs.keys", "create", "--name", "operator")
    if settings.runtime.environment is Environment.PRODUCTION:
        said = "There is no API key: with MEMORY_ENVIRONMENT=production the service does not start."
        return [problem("keys", said, "Make one, or set MEMORY_API_KEYS.", command)]
    said = "There is no API key: whoever reaches the service may do everything."
    return [warning("keys", said, "Make one before others reach it.", command)]
