"""What the routes call: made from handles under Ray, and from plain objects by the integration tests."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from deployments.batching import MicroBatcher
from deployments.capacity import IngressCapacity
from deployments.embedding.providers.registry import space_source
from deployments.rate_limits.limiter import RateLimiter
from deployments.schemas import Message
from deployments.search.context_assembler import Context
from deployments.search.ways import Search
from deployments.search.whole_answers import AnswerCalls, WholeAnswers
from deployments.search_schemas import SearchRequest
from deployments.settings import HttpSettings, Settings
from deployments.storage.api_keys import ApiKeyRepository
from deployments.storage.conversations import ConversationRepository
from deployments.storage.database import Database
from deployments.storage.drafts import Draft
from deployments.storage.embedding_jobs import EmbeddingJobRepository
from deployments.storage.erasure import ErasureRepository
from deployments.storage.expiry import ExpiryRepository
from deployments.storage.facts import FactRepository
from deployments.storage.health import database_problem, pool_problem
from deployments.storage.idempotency import IdempotentStores
from deployments.storage.message_analysis import message_analyzer
from deployments.storage.message_history import MessageHistoryRepository
from deployments.storage.messages import MessageRepository
from deployments.storage.named_messages import NamedMessageRepository
from deployments.storage.retention_policies import RetentionPolicyRepository, default_policy
from deployments.storage.retention_runs import RetentionRunRepository
from deployments.storage.tenant_languages import LanguageRepository, default_languages
from deployments.storage.usage import QuotaGate, UsageRepository
from deployments.storage.users import UserRepository
from deployments.tracing.spans import crossing, traced
from deployments.vitals import Vitals
from serve_app.health import HealthReporter, Probes
from serve_app.keyring import Keyring
from serve_app.measures import IngressMetrics
from serve_app.retention import RetentionDesk, RetentionWatch, SubmitRun


@dataclass(frozen=True)
class Services:
    """What the routes call.

    `store`, `search` and `assemble` gather what waits; the repositories do one call at a time. `search` and `assemble`
    return the answer's JSON.
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
    vitals: Vitals
    store: Callable[[Draft], Awaitable[Message]]
    search: Callable[[Search], Awaitable[bytes]]
    assemble: Callable[[Context], Awaitable[bytes]]
    usage: UsageRepository
    limiter: RateLimiter
    retention: RetentionDesk
    retention_runs: RetentionRunRepository
    retention_policies: RetentionPolicyRepository
    retention_watch: RetentionWatch
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
    vitals: Vitals,
) -> Services:
    """`searches`, `contexts`: how both are answered; `vitals`: of this replica.

    `submit_retention` has a job take up a run of the ledger.
    """
    gate = QuotaGate(settings.quotas) if settings.quotas.any_set else None
    analyzer, counts = message_analyzer(database, settings.search), metrics.measures.store_counts()
    messages = MessageRepository(database, analyzer, gate, counts)
    keys = ApiKeyRepository(database)
    policy = default_policy(settings.retention)
    runs = RetentionRunRepository(database, policy)

    stores, batches = capacity.store, capacity.search
    stored = MicroBatcher(messages.store, max_batch=stores.size, slots=stores.slots, max_waiting=stores.waiting)
    searched = WholeAnswers(searches, batches, lambda search: _turns(search.request))
    # Apart from the searches: a context takes longer, and is not to hold up those that would wait with it.
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
            partial(database_problem, database, space_source(settings)),
            partial(pool_problem, database),
            EmbeddingJobRepository(database),
            probes,
            settings.runtime.environment,
        ),
        vitals=vitals,
        store=traced("store", stored.submit),
        search=crossing("search", searched.submit),
        assemble=crossing("assemble", assembled.submit),
        usage=UsageRepository(database, settings.quotas),
        limiter=limiter,
        retention=RetentionDesk(runs, submit_retention, settings.http.longest_wait_seconds),
        retention_runs=runs,
        retention_policies=RetentionPolicyRepository(database, policy),
        retention_watch=RetentionWatch(runs, submit_retention, settings.retention.schedule_seconds),
        languages=LanguageRepository(database, default_languages(settings.search)),
        erasures=ErasureRepository(database),
        expiry=ExpiryRepository(database),
        metrics=metrics if settings.runtime.metrics_enabled else None,
    )


def _turns(request: SearchRequest) -> int:
    return request.top_k * (1 + 2 * request.neighbors)
