"""The services that the routes call: built from handles under Ray, and from plain objects in integration tests."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from deployments.embedding_space import space_source
from deployments.rate_limits.limiter import RateLimiter
from deployments.runtime.capacity import IngressCapacity
from deployments.runtime.liveness import Liveness
from deployments.runtime.micro_batcher import MicroBatcher
from deployments.schemas.messages import Message
from deployments.schemas.search import SearchRequest
from deployments.search.context.assembler import Context
from deployments.search.plans import Search
from deployments.search.routing.whole_answers import AnswerCalls, WholeAnswers
from deployments.settings import HttpSettings, Settings
from deployments.storage.embeddings.jobs import EmbeddingJobRepository
from deployments.storage.messages.analysis import message_analyzer
from deployments.storage.messages.conversations import ConversationRepository
from deployments.storage.messages.drafts import Draft
from deployments.storage.messages.expiry import ExpiryRepository
from deployments.storage.messages.facts import FactRepository
from deployments.storage.messages.history import MessageHistoryRepository
from deployments.storage.messages.idempotency import IdempotentStores
from deployments.storage.messages.named_messages import NamedMessageRepository
from deployments.storage.messages.repository import MessageRepository
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.health import WriteProbe, database_problem, pool_problem
from deployments.storage.retention.policies import RetentionPolicyRepository, default_policy
from deployments.storage.retention.runs import RetentionRunRepository
from deployments.storage.tenants.api_keys import ApiKeyRepository
from deployments.storage.tenants.erasure import ErasureRepository
from deployments.storage.tenants.languages import LanguageRepository, default_languages
from deployments.storage.tenants.usage import QuotaGate, UsageRepository
from deployments.storage.tenants.users import UserRepository
from deployments.tracing.spans import crossing, traced
from serve_app.edge.instruments import IngressMetrics
from serve_app.edge.keyring import Keyring
from serve_app.health import HealthReporter, Probes
from serve_app.retention.service import RetentionScheduler, RetentionService, SubmitRun


@dataclass(frozen=True)
class Services:
    """The services that the routes call.

    `store`, `search` and `assemble` batch concurrent calls; the repositories make one call at a time. `search` and
    `assemble` return the answer's JSON.
    """

    http: HttpSettings
    messages: MessageRepository
    history: MessageHistoryRepository
    named_messages: NamedMessageRepository
    idempotent: IdempotentStores
    facts: FactRepository
    conversations: ConversationRepository
    users: UserRepository
    keys: ApiKeyRepository
    keyring: Keyring
    health: HealthReporter
    liveness: Liveness
    store: Callable[[Draft], Awaitable[Message]]
    search: Callable[[Search], Awaitable[bytes]]
    assemble: Callable[[Context], Awaitable[bytes]]
    usage: UsageRepository
    limiter: RateLimiter
    retention: RetentionService
    retention_runs: RetentionRunRepository
    retention_policies: RetentionPolicyRepository
    retention_scheduler: RetentionScheduler
    languages: LanguageRepository
    erasures: ErasureRepository
    expiry: ExpiryRepository
    metrics: IngressMetrics | None


def create_services(
    settings: Settings,
    capacity: IngressCapacity,
    database: Database,
    searches: AnswerCalls[Search],
    contexts: AnswerCalls[Context],
    probes: Probes,
    limiter: RateLimiter,
    submit_retention: SubmitRun,
    *,
    metrics: IngressMetrics,
    liveness: Liveness,
) -> Services:
    """Return the services. `searches`, `contexts`: how to call both; `liveness`: of this replica.

    `submit_retention` submits a job for a run of the ledger.
    """
    gate = QuotaGate(settings.quotas) if settings.quotas.any_set else None
    analyzer, counts = message_analyzer(database, settings.search), metrics.instruments.store_counts()
    messages = MessageRepository(database, analyzer, gate, counts)
    keys = ApiKeyRepository(database)
    policy = default_policy(settings.retention)
    runs = RetentionRunRepository(database, policy)

    stores, batches = capacity.store, capacity.search
    stored = MicroBatcher(messages.store, max_batch=stores.size, slots=stores.slots, max_waiting=stores.waiting)
    searched = WholeAnswers(searches, batches, lambda search: _turns(search.request))
    # Separate from the searches: a context takes longer, and must not delay searches in the same batch.
    assembled = WholeAnswers(contexts, batches, lambda context: context.request.token_budget)
    for queue, waiting in (("store", stored.waiting), ("search", searched.waiting), ("assemble", assembled.waiting)):
        metrics.replica.watch_queue(queue, waiting)

    return Services(
        http=settings.http,
        messages=messages,
        history=MessageHistoryRepository(database),
        named_messages=NamedMessageRepository(database, messages),
        idempotent=IdempotentStores(database, messages),
        facts=FactRepository(database, messages, analyzer, gate, counts),
        conversations=ConversationRepository(database),
        users=UserRepository(database),
        keys=keys,
        keyring=Keyring(keys, settings),
        health=HealthReporter(
            partial(database_problem, database, space_source(settings), WriteProbe()),
            partial(pool_problem, database),
            EmbeddingJobRepository(database),
            probes,
            settings.runtime.environment,
        ),
        liveness=liveness,
        store=traced("store", stored.submit),
        search=crossing("search", searched.submit),
        assemble=crossing("assemble", assembled.submit),
        usage=UsageRepository(database, settings.quotas),
        limiter=limiter,
        retention=RetentionService(runs, submit_retention, settings.http.longest_wait_seconds),
        retention_runs=runs,
        retention_policies=RetentionPolicyRepository(database, policy),
        retention_scheduler=RetentionScheduler(runs, submit_retention, settings.retention.schedule_seconds),
        languages=LanguageRepository(database, default_languages(settings.search)),
        erasures=ErasureRepository(database),
        expiry=ExpiryRepository(database),
        metrics=metrics if settings.runtime.metrics_enabled else None,
    )


def _turns(request: SearchRequest) -> int:
    return request.top_k * (1 + 2 * request.neighbors)
