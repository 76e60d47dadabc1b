"""Settings: what the environment says, or one line that says what is wrong with it."""

import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields

import pytest
from pydantic import ValidationError

from deployments.errors import ConfigurationError
from deployments.settings import Environment, LogLevel, ProviderName, Settings, known_names
from tests.paths import ROOT


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is set where the tests run does not count."""
    for name in [name for name in os.environ if name.startswith("MEMORY_")]:
        monkeypatch.delenv(name)


def url_of(settings: Settings) -> str | None:
    url = settings.database.url
    return None if url is None else url.get_secret_value()


def refusal() -> str:
    with pytest.raises(ConfigurationError) as raised:
        Settings.load()
    assert "\n" not in raised.value.message
    return raised.value.message


def test_without_any_setting_the_defaults_hold() -> None:
    settings = Settings.load()

    assert settings.runtime.environment is Environment.DEVELOPMENT
    assert settings.embedding.provider is ProviderName.LOCAL
    assert url_of(settings) is None
    assert settings.database.read_url is None


@pytest.mark.parametrize(
    "given",
    ["postgresql://u:p@h:5432/d?x=y", "postgresql+asyncpg://u:p@h:5432/d?x=y", "postgres://u:p@h:5432/d?x=y"],
)
def test_every_form_of_the_url_comes_to_the_same(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_URL", given)
    monkeypatch.setenv("MEMORY_DATABASE_READ_URL", given)
    settings = Settings.load()

    assert url_of(settings) == "postgresql://u:p@h:5432/d?x=y"
    assert settings.database.read_url == settings.database.url


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://u@/d?host=/var/run",
        "postgresql:///d",
        "postgresql://u:p@h1:5432,h2:5433/d?target_session_attrs=primary",
        "postgresql://u:p%40ss@[::1]:5432/d",
        "postgresql://h?dbname=d",
    ],
)
def test_a_url_may_name_a_socket_several_hosts_or_an_address(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_URL", given)

    assert url_of(Settings.load()) == given


@pytest.mark.parametrize("given", ["u:hunter2/9@h/d", "u:hunter2?9@h/d", "u:p@h:hunter2/d", "u:p@[hunter2/d"])
def test_a_url_that_cannot_be_read_is_refused_without_its_password(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver would say so later, in words that hold a part of it."""
    monkeypatch.setenv("MEMORY_DATABASE_URL", f"postgresql://{given}")

    with pytest.raises(ConfigurationError, match=r"MEMORY_DATABASE_URL: .* percent-encoded") as refused:
        Settings.load()
    assert "hunter2" not in refused.value.message


def test_an_empty_setting_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_URL", "")
    monkeypatch.setenv("MEMORY_EMBEDDING_DIMENSIONS", "")

    settings = Settings.load()

    assert (url_of(settings), settings.embedding.dimensions) == (None, None)


def test_a_level_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_LOG_LEVEL", "debug")

    assert Settings.load().runtime.log_level is LogLevel.DEBUG


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEMORY_DATABASE_URL", "mysql://h/d"),
        ("MEMORY_DATABASE_URL", "h:5432/d"),
        ("MEMORY_DATABASE_READ_URL", "https://h/d"),
        ("MEMORY_DATABASE_POOL_SIZE", "0"),
        ("MEMORY_DATABASE_POOL_SIZE", "many"),
        ("MEMORY_DATABASE_MAX_OVERFLOW", "-1"),
        ("MEMORY_DATABASE_STATEMENT_CACHE_SIZE", "-1"),
        ("MEMORY_DATABASE_CONNECT_TIMEOUT_SECONDS", "0"),
        ("MEMORY_ENVIRONMENT", "moon"),
        ("MEMORY_LOG_LEVEL", "LOUD"),
        ("MEMORY_METRICS_ENABLED", "perhaps"),
        ("MEMORY_REQUEST_MAX_BYTES", "16MB"),
        ("MEMORY_REQUEST_MAX_BYTES", "0"),
        ("MEMORY_REQUEST_TIMEOUT_SECONDS", "0"),
        ("MEMORY_REQUEST_TIMEOUT_SECONDS", "inf"),
        ("MEMORY_ALLOWED_ORIGINS", "app.example.com"),
        ("MEMORY_ALLOWED_ORIGINS", "https://app.example.com/"),
        ("MEMORY_ALLOWED_ORIGINS", "https://*.example.com"),
        ("MEMORY_TRUSTED_PROXIES", "proxy"),
        ("MEMORY_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("MEMORY_EMBEDDING_PROVIDER", "crystal_ball"),
        ("MEMORY_EMBEDDING_DIMENSIONS", "0"),
        ("MEMORY_EMBEDDING_DIMENSIONS", "4001"),
        ("MEMORY_EMBEDDING_MAX_ATTEMPTS", "0"),
        ("MEMORY_EMBEDDING_LEASE_SECONDS", "-5"),
        ("MEMORY_EMBEDDING_TIMEOUT_SECONDS", "nan"),
        ("MEMORY_EMBEDDING_CACHE_SIZE", "-1"),
        ("MEMORY_GLOBAL_RATE_LIMIT", "often"),
        ("MEMORY_TENANT_RATE_LIMIT", "0/minute"),
        ("MEMORY_KEY_RATE_LIMIT", "10/second;200"),
        ("MEMORY_REDIS_URL", "localhost:6379"),
        ("MEMORY_REDIS_URL", "http://localhost:6379"),
        ("MEMORY_REDIS_URL", "redis://localhost:99999/0"),
        ("MEMORY_SEARCH_CANDIDATES", "1"),
        ("MEMORY_RETENTION_MAX_AGE_DAYS", "0"),
        ("MEMORY_RETENTION_IMPORTANCE_THRESHOLD", "1.1"),
        ("MEMORY_RETENTION_DELETE_AFTER_DAYS", "-1"),
        ("MEMORY_RETENTION_KEEP_NEWEST", "-1"),
        ("MEMORY_RETENTION_SCHEDULE_SECONDS", "0"),
        ("MEMORY_RETENTION_BATCH_SIZE", "0"),
        ("MEMORY_RETENTION_PAUSE_FACTOR", "nan"),
        ("MEMORY_SEARCH_LANGUAGE", "english'; DROP TABLE messages; --"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_in_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    assert refusal().startswith(f"{name}: ")


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_ALLOWED_ORIGINS", "https://a.example, http://localhost:3000,")
    monkeypatch.setenv("MEMORY_TRUSTED_PROXIES", "10.0.0.0/8, 192.168.1.7,::1")

    http = Settings.load().http

    assert http.allowed_origins == ("https://a.example", "http://localhost:3000")
    assert http.trusted_proxies == ("10.0.0.0/8", "192.168.1.7/32", "::1/128")


@pytest.mark.parametrize(("environment", "refused"), [("production", True), ("development", False)])
def test_any_origin_is_for_development(environment: str, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_ENVIRONMENT", environment)
    monkeypatch.setenv("MEMORY_ALLOWED_ORIGINS", "*")

    if refused:
        assert refusal().startswith("MEMORY_ALLOWED_ORIGINS: ")
    else:
        assert Settings.load().http.allowed_origins == ("*",)


def test_a_url_that_is_refused_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_URL", "mysql://root:hunter2@h/d")
    assert "hunter2" not in refusal()

    monkeypatch.delenv("MEMORY_DATABASE_URL")
    monkeypatch.setenv("MEMORY_REDIS_URL", "mysql://root:hunter2@h/0")
    assert "hunter2" not in refusal()


def test_limits_are_read_and_none_is_set_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Settings.load().rate_limits
    assert (limits.global_rate_limit, limits.tenant_rate_limit, limits.key_rate_limit) == (None, None, None)
    assert limits.redis_url is None

    monkeypatch.setenv("MEMORY_GLOBAL_RATE_LIMIT", "10/second;200/minute")
    monkeypatch.setenv("MEMORY_REDIS_URL", "rediss://user:p%2Fw@redis:6380/2")
    limits = Settings.load().rate_limits

    assert limits.global_rate_limit == "10/second;200/minute"
    assert limits.redis_url is not None
    assert limits.redis_url.get_secret_value() == "rediss://user:p%2Fw@redis:6380/2"


def test_the_root_keys_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().access.root_keys == ()

    monkeypatch.setenv("MEMORY_API_KEYS", "one, two,")

    assert Settings.load().access.root_keys == ("one", "two")


@pytest.mark.parametrize("value", [",", "hunter2 hunter2", "hünter2", "hunter2\n3"])
def test_a_root_key_that_no_header_can_carry_is_refused_and_not_repeated(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_API_KEYS", value)

    line = refusal()

    assert line.startswith("MEMORY_API_KEYS: ")
    assert "nter2" not in line


def test_no_secret_is_shown_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "MEMORY_DATABASE_URL": "postgresql://u:hunter2@h/d",
        "MEMORY_DATABASE_READ_URL": "postgresql://u:hunter2@h/d",
        "MEMORY_API_KEYS": "hunter2",
        "MEMORY_REDIS_URL": "redis://u:hunter2@h/0",
        "MEMORY_GEMINI_API_KEY": "hunter2",
        "MEMORY_OPENAI_API_KEY": "hunter2",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)

    assert "hunter2" not in repr(Settings.load())


@pytest.mark.parametrize("group", [field.name for field in fields(Settings)])
def test_settings_do_not_change(group: str) -> None:
    settings = Settings.load()
    settings_group = getattr(settings, group)

    with pytest.raises(FrozenInstanceError):
        setattr(settings, group, None)
    for name in type(settings_group).model_fields:
        with pytest.raises(ValidationError):
            setattr(settings_group, name, None)


def test_nothing_is_read_when_the_module_is_imported() -> None:
    environment = {**os.environ, "MEMORY_LOG_LEVEL": "LOUD", "MEMORY_DATABASE_URL": "mysql://h/d"}
    imports = [sys.executable, "-c", "import deployments.settings, serve_app.api, serve_app.build"]

    done = subprocess.run(imports, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_the_example_names_every_setting_and_no_other() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assigned = [line.lstrip("# ").partition("=") for line in lines]

    assert {name for name, equals, _ in assigned if equals and name.startswith("MEMORY_")} == known_names()
