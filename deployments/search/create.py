"""Creates the search engine from its parts."""

from deployments.search.engine import SearchEngine
from deployments.search.from_memory import FromMemory
from deployments.search.from_sql import FromSql
from deployments.search.index.resident import Indexes, Limits
from deployments.search.instruments import IndexInstruments, SearchInstruments
from deployments.search.plans import Clock, SearchPlan, utc_now
from deployments.search.query_embedding import Embed, QueryEmbedding
from deployments.search.recall.samples import RecallSamples
from deployments.search.reranking.stage import RerankStage
from deployments.settings import SearchSettings
from deployments.storage.postgres.database import Database
from deployments.storage.search.candidates import CandidateRepository
from deployments.storage.search.hit_contents import HitContents
from deployments.storage.search.message_changes import MessageChangeRepository
from deployments.storage.tenants.languages import TenantLanguages, default_languages


def create_engine(
    database: Database,
    settings: SearchSettings,
    embed: Embed,
    instruments: SearchInstruments | None = None,
    index_instruments: IndexInstruments | None = None,
    samples: RecallSamples | None = None,
    reranking: RerankStage | None = None,
    clock: Clock = utc_now,
) -> SearchEngine:
    """Return the search engine. `samples` collects SQL searches for recall audits. `clock` decides message expiry."""
    instruments = instruments or SearchInstruments()
    embedding = QueryEmbedding(embed, settings.embedding_timeout_seconds, instruments)
    candidates, contents = CandidateRepository(database, settings), HitContents(database)
    plans: list[SearchPlan] = [FromSql(candidates, contents, embedding, settings, instruments, samples, clock)]
    if settings.index_bytes:
        limits = Limits(settings.index_bytes, settings.index_messages)
        indexes = Indexes(MessageChangeRepository(database), limits, index_instruments)
        plans.insert(0, FromMemory(indexes, contents, embedding, settings, instruments, clock))
    languages = TenantLanguages(database, default_languages(settings))
    return SearchEngine(plans, candidates, languages, instruments, reranking, clock)
