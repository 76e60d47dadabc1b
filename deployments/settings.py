"""All settings, read from `MEMORY_*` environment variables when a process starts, never at import."""

import ipaddress
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import platformdirs
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from deployments.analysis.languages import language_code
from deployments.connection_urls import http_url, postgres_url, redis_url
from deployments.errors import ConfigurationError
from deployments.schemas.rate_limits import RateLimit
from deployments.schemas.vectors import ProviderName
from deployments.validation_faults import faults


def _group(prefix: str) -> SettingsConfigDict:
    return SettingsConfigDict(
        env_prefix=prefix, frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )


class Environment(StrEnum):
    """The environment that the service runs in."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogLevel(StrEnum):
    """The least severe level that is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class RuntimeSettings(BaseSettings):
    """The environment, logging, `GET /metrics`, and how long the history of messages is kept."""

    model_config = _group("MEMORY_")

    environment: Environment = Environment.DEVELOPMENT
    log_level: LogLevel = LogLevel.INFO
    metrics_enabled: bool = True
    history_days: int = Field(default=30, ge=0, le=36_500)
    data_dir: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("ai-memory-layer")))

    @field_validator("data_dir")
    @classmethod
    def _at_home(cls, value: Path) -> Path:
        try:
            value.expanduser()
        except RuntimeError:
            raise ValueError("names the home directory of a user that does not exist") from None
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _split(value: object) -> object:
    return _parts(value) if isinstance(value, str) else value


def _fit_for_a_header(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a key must be of printable ASCII characters, without spaces or line ends")
    return key


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
HeaderKey = Annotated[SecretStr, AfterValidator(_fit_for_a_header)]
SHARE_OF_REQUEST = 0.8
ANY_ORIGIN = "*"
# The request's own timeout ends a statement first, so that the answer is a 504.
CANCELLATION_GRACE_SECONDS = 5.0
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s*]+")


class HttpSettings(BaseSettings):
    """Limits of HTTP requests, and their logging.

    `slow_request_seconds`: log a successful search, context or store that takes at least this long; 0: each one.
    `allowed_origins`: origins whose web pages may read the answers (CORS); empty: only our own.
    `trusted_proxies`: addresses and networks whose X-Forwarded-For and X-Forwarded-Proto are trusted.
    """

    model_config = _group("MEMORY_")

    request_max_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    request_timeout_seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    slow_request_seconds: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    allowed_origins: CommaSeparated = ()
    trusted_proxies: CommaSeparated = ()

    @property
    def longest_wait_seconds(self) -> float:
        """Return how long a request may wait for background work and still be answered in time."""
        return SHARE_OF_REQUEST * self.request_timeout_seconds

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(origin == ANY_ORIGIN or _ORIGIN.fullmatch(origin) for origin in value):
            raise ValueError("must be origins such as https://app.example.com, without a path, or *")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(str(ipaddress.ip_network(each)) for each in value)
        except ValueError:
            raise ValueError("must be addresses or networks such as 10.0.0.0/8") from None


class AccessSettings(BaseSettings):
    """Access by keys that are not in the database."""

    model_config = _group("MEMORY_")

    api_keys: SecretStr | None = None

    @field_validator("api_keys")
    @classmethod
    def _fit_for_headers(cls, value: SecretStr | None) -> SecretStr | None:
        for key in _listed(value):
            _fit_for_a_header(SecretStr(key))
        if value is not None and not _listed(value):
            raise ValueError("must name at least one key, or not be set")
        return value

    @property
    def root_keys(self) -> tuple[str, ...]:
        """Return the keys that may do everything, for all tenants."""
        return _listed(self.api_keys)


def _listed(value: SecretStr | None) -> tuple[str, ...]:
    return _parts(value.get_secret_value()) if value is not None else ()


class DatabaseSettings(BaseSettings):
    """The connection to Postgres. Without a URL, the embedded server under the data directory is used.

    `pool_size` (connections kept open) and `max_overflow` (opened on top of them under load) override the pool sizes
    of `serve_config.yaml` in every replica that has a pool.
    """

    model_config = _group("MEMORY_DATABASE_")

    url: SecretStr | None = None
    read_url: SecretStr | None = None
    pool_size: int | None = Field(default=None, ge=1, le=1000)
    max_overflow: int | None = Field(default=None, ge=0, le=1000)
    statement_cache_size: int = Field(default=100, ge=0)
    connect_timeout_seconds: float = Field(default=5.0, gt=0)
    statement_timeout_seconds: float = Field(default=30.0, gt=0)

    @field_validator("url", "read_url")
    @classmethod
    def _postgres(cls, value: SecretStr | None) -> SecretStr | None:
        return value and SecretStr(postgres_url(value.get_secret_value()))


class EmbeddingSettings(BaseSettings):
    """The embedding provider, and the retries and leases of the embedding jobs."""

    model_config = _group("MEMORY_EMBEDDING_")

    provider: ProviderName = ProviderName.LOCAL
    dimensions: Annotated[int, Field(ge=1, le=4000)] | None = None
    cache_size: int = Field(default=10_000, ge=0)
    timeout_seconds: float = Field(default=30.0, gt=0)
    max_attempts: int = Field(default=10, ge=1, le=100)
    retry_base_seconds: float = Field(default=1.0, gt=0)
    retry_max_seconds: float = Field(default=300.0, gt=0)
    lease_seconds: float = Field(default=30.0, gt=0)


class GeminiSettings(BaseSettings):
    """Google Gemini: used with `MEMORY_EMBEDDING_PROVIDER=google_gemini`."""

    model_config = _group("MEMORY_GEMINI_")

    api_key: HeaderKey | None = None
    model: str = "models/gemini-embedding-001"
    api_endpoint: str | None = None

    @field_validator("api_endpoint")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        """Accept a host name without a scheme."""
        if value is not None:
            http_url(value if "://" in value else f"https://{value}")
        return value


class OpenAISettings(BaseSettings):
    """Any server with OpenAI's embeddings call: used with `MEMORY_EMBEDDING_PROVIDER=openai_compatible`.

    `max_input_bytes`: the model's limit on one text, in bytes of UTF-8. OpenAI's models take 8,191 tokens, and a token
    is at least one byte.
    """

    model_config = _group("MEMORY_OPENAI_")

    base_url: Annotated[str, AfterValidator(http_url)] = "https://api.openai.com/v1"
    api_key: HeaderKey | None = None
    model: str = "text-embedding-3-small"
    max_input_bytes: int = Field(default=8_000, ge=64)


class SearchSettings(BaseSettings):
    """Retrieval and ranking of candidates, and audits of their recall.

    `index_bytes`: memory limit of all indexes of one replica; each tenant is routed to one replica. 0: every search
    uses SQL. `index_messages`: the maximum size of one index. `language`, `detect_language`: for tenants without their
    own language.

    `recall_audits_per_minute`: the maximum for each replica; 0: none. `recall_audit_timeout_seconds`: per statement.
    """

    model_config = _group("MEMORY_SEARCH_")

    index_bytes: int = Field(default=512 * 1024 * 1024, ge=0)
    index_messages: int = Field(default=100_000, ge=0)
    candidates: int = Field(default=40, ge=10, le=1000)
    exact_limit: int = Field(default=10_000, ge=0)
    language: Annotated[str, AfterValidator(language_code)] = "en"
    detect_language: bool = False
    bm25_k1: float = Field(default=1.2, ge=0, le=10, allow_inf_nan=False)
    bm25_b: float = Field(default=0.75, ge=0, le=1)
    neighbor_share: float = Field(default=0.85, ge=0, le=1)
    subtract_mean: bool = True
    embedding_timeout_seconds: float = Field(default=2.0, gt=0)
    recall_audits_per_minute: float = Field(default=6.0, ge=0, le=600)
    recall_audit_timeout_seconds: float = Field(default=5.0, ge=0.001, le=600)


class RerankStyle(StrEnum):
    """The JSON formats of `/rerank` endpoints: that of Cohere, Jina, vLLM and others, and TEI's."""

    COHERE = "cohere"
    TEI = "tei"


class RerankSettings(BaseSettings):
    """The reranker, the last stage of a search. It is off without a URL.

    `url`: the full URL of the endpoint, including its path. `candidates`: how many of the best hits are sent, at least
    `top_k`. `max_characters`: the query and each hit are cut to this length.
    """

    model_config = _group("MEMORY_RERANK_")

    url: Annotated[str, AfterValidator(http_url)] | None = None
    style: RerankStyle = RerankStyle.COHERE
    model: str | None = Field(default=None, validate_default=True)
    api_key: HeaderKey | None = None
    candidates: int = Field(default=50, ge=1, le=1000)
    timeout_seconds: float = Field(default=1.0, gt=0, le=10)
    max_characters: int = Field(default=2_000, ge=100, le=100_000)

    @field_validator("model")
    @classmethod
    def _named(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("url") and info.data.get("style") is RerankStyle.COHERE:
            raise ValueError("must be set for MEMORY_RERANK_STYLE=cohere, whose requests name a model")
        return value


class QuotaSettings(BaseSettings):
    """Quotas of one tenant: messages and bytes in total, embeddings in one UTC day. Unset: unlimited."""

    model_config = _group("MEMORY_QUOTA_")

    messages: int | None = Field(default=None, ge=1)
    bytes: int | None = Field(default=None, ge=1)
    embeddings_per_day: int | None = Field(default=None, ge=1)

    @property
    def any_set(self) -> bool:
        """Return whether a store has to check quotas."""
        return any(quota is not None for quota in (self.messages, self.bytes, self.embeddings_per_day))


class RateLimitSettings(BaseSettings):
    """Rate limits of each client address, tenant and key. Unset: unlimited.

    `key_rate_limit` applies to keys without their own limit. With a Redis URL, requests are counted in Redis.
    """

    model_config = _group("MEMORY_")

    global_rate_limit: RateLimit | None = None
    tenant_rate_limit: RateLimit | None = None
    key_rate_limit: RateLimit | None = None
    redis_url: SecretStr | None = None

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        return value and SecretStr(redis_url(value.get_secret_value()))


class RetentionSettings(BaseSettings):
    """Retention of tenants without their own policy: what is removed, how often and at which pace.

    `schedule_seconds`: unset: only on request. `batch_size`: messages in one transaction.
    `pause_factor`: the pause after each batch, as a multiple of the time that the batch took.
    """

    model_config = _group("MEMORY_RETENTION_")

    max_age_days: int = Field(default=30, ge=1, le=36_500)
    importance_threshold: float = Field(default=0.35, ge=0, le=1)
    delete_after_days: int = Field(default=90, ge=1, le=36_500)
    keep_newest: int = Field(default=0, ge=0, le=1_000_000)
    schedule_seconds: float | None = Field(default=None, ge=1, allow_inf_nan=False)
    batch_size: int = Field(default=100, ge=1, le=5_000)
    pause_factor: float = Field(default=4.0, ge=0, le=100)


@dataclass(frozen=True)
class Settings:
    """All groups of settings."""

    runtime: RuntimeSettings
    http: HttpSettings
    access: AccessSettings
    database: DatabaseSettings
    embedding: EmbeddingSettings
    gemini: GeminiSettings
    openai: OpenAISettings
    search: SearchSettings
    rerank: RerankSettings
    quotas: QuotaSettings
    rate_limits: RateLimitSettings
    retention: RetentionSettings

    @classmethod
    def load(cls) -> "Settings":
        """Read the environment. Raises `ConfigurationError` with one line that names the invalid setting."""
        settings = cls(**{name: _read(group) for name, group in get_type_hints(cls).items()})
        _refuse_any_origin_in_production(settings)
        return settings

    def for_requests(self) -> "Settings":
        """Return settings for serving requests: a statement whose cancellation was lost times out soon after it."""
        longest = self.http.request_timeout_seconds + CANCELLATION_GRACE_SECONDS
        seconds = min(self.database.statement_timeout_seconds, longest)
        return replace(self, database=self.database.model_copy(update={"statement_timeout_seconds": seconds}))


def _refuse_any_origin_in_production(settings: Settings) -> None:
    if settings.runtime.environment is Environment.PRODUCTION and ANY_ORIGIN in settings.http.allowed_origins:
        raise ConfigurationError("MEMORY_ALLOWED_ORIGINS: * lets every web page in; in production, name the origins")


def _read(group: Any) -> Any:
    try:
        return group()
    except ValidationError as error:
        raise ConfigurationError(problem_lines(group, error)[0]) from None


def problem_lines(group: Any, error: ValidationError) -> list[str]:
    """Return a line for each invalid value of a group, with the name of its setting."""
    prefix = group.model_config["env_prefix"]
    return [f"{prefix}{'_'.join(map(str, fault.place))}".upper() + f": {fault.reason}" for fault in faults(error)]
