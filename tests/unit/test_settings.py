"""Settings: what the environment says, or one line that says what is wrong with it."""

import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
from pydantic import ValidationError

from deployments.connection_urls import HTTP_FORM, POSTGRES_FORM, REDIS_FORM
from deployments.errors import ConfigurationError
from deployments.schemas.vectors import ProviderName
from deployments.settings import DatabaseSettings, Environment, LogLevel, Settings
from deployments.settings_inspection import known_names
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
        "postgresql://%2Fvar%2Frun/d",
        "postgresql://u:p@h1,h2/d",
        "postgresql://u:p@bücher.example:5432/d",
        "postgresql:///d?host=h1,/tmp&port=5432,5433",
    ],
)
def test_a_url_may_name_a_socket_several_hosts_or_an_address(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_URL", given)

    assert url_of(Settings.load()) == given


def test_what_only_libpq_knows_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As providers put it into the URLs that they show: the server would refuse each connection for it."""
    url = "postgresql://u:hunter2@h/d?sslmode=require&channel_binding=require&connect_timeout=10"
    monkeypatch.setenv("MEMORY_DATABASE_URL", url)

    assert refusal().startswith("MEMORY_DATABASE_URL: leave out channel_binding, connect_timeout: libpq's alone")
    assert "hunter2" not in refusal()


@pytest.mark.parametrize("name", ["MEMORY_DATABASE_URL", "MEMORY_DATABASE_READ_URL"])
@pytest.mark.parametrize(
    "given",
    [
        "mysql://u:hunter2@h/d",
        "u:hunter2@h/d",
        "postgresql:u:hunter2@h/d",
        *(
            f"postgresql://{rest}"
            for rest in (
                "u:hunter2/9@h/d",
                "u:9/hunter2@h/d",
                "u:hunter2?9@h/d",
                "u:9?hunter2@h/d",
                "u:9?x=hunter2@h/d",
                "u:pa#hunter2@h/d",
                "u:9#hunter2@h/d",
                "u:hunter2@9@h/d",
                "u:[hunter2]@h/d",
                "u:p@[hunter2/d",
                "u:p@[hunter2]/d",
                "u:hunter2 9@h/d",
                "u:hunter2\t9@h/d",
                "u:hunter2%00@h/d",
                "u:hunter2\uff0f9@h/d",
                "u:p@h:hunter2/d",
                "u:hunter2@h:99999/d",
                "u:hunter2@h:0/d",
                "u:hunter2@h1,,h2/d",
                f"u:hunter2@{'h' * 70}/d",
                "u:hunter2@.bad/d",
                "u:hunter2@h\x01/d",
                "u:hunter2@/d?port=many",
                "u:hunter2@/d?host=h..bad",
            )
        ),
    ],
)
def test_a_url_that_cannot_be_read_is_refused_in_one_sentence(
    name: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver would say so later, in words that hold a part of the password; or take that for the host."""
    monkeypatch.setenv(name, given)

    assert refusal() == f"{name}: {POSTGRES_FORM}"


@pytest.mark.parametrize(
    "given",
    [
        "mysql://u:hunter2@h/0",
        "redis://u:hunter2/9@h/0",
        "redis://u:9/hunter2@h/0",
        "redis://u:hunter2#9@h/0",
        "redis://u:9?x=hunter2@h/0",
        "redis://u:[hunter2]@h/0",
        "redis://u:hunter2@h:99999/0",
        "redis://u:hunter2@.bad/0",
        f"redis://u:hunter2@{'h' * 70}/0",
        "redis://u:hunter2@h/first",
        "redis://u:hunter2@h/0?db=hunter2",
        "redis://u:hunter2@h/0?socket_timeout=hunter2",
        "redis://u:hunter2@h/0?hunter2=1",
    ],
)
def test_a_url_of_redis_that_cannot_be_read_is_refused_in_one_sentence(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_REDIS_URL", given)

    assert refusal() == f"MEMORY_REDIS_URL: {REDIS_FORM}"


@pytest.mark.parametrize("given", ["redis://h", "rediss://u:p%23@h:6380/2?ssl_cert_reqs=none", "redis://[::1]:6379"])
def test_a_url_of_redis_may_be_short_or_have_options(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_REDIS_URL", given)

    url = Settings.load().rate_limits.redis_url
    assert url is not None
    assert url.get_secret_value() == given


@pytest.mark.parametrize("name", ["MEMORY_OPENAI_BASE_URL", "MEMORY_GEMINI_API_ENDPOINT", "MEMORY_RERANK_URL"])
@pytest.mark.parametrize(
    "given", ["https://u:hunter2#@h/v1", "https://u:9/hunter2@h", "http://h:99999", "http://.bad", "ftp://h", "http://"]
)
def test_a_providers_address_that_cannot_be_read_is_refused_in_one_sentence(
    name: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, given)

    assert refusal() == f"{name}: {HTTP_FORM}"


@pytest.mark.parametrize("given", ["http://127.0.0.1:8080", "eu.example.com", "eu.example.com:443"])
def test_geminis_endpoint_may_be_a_host_alone(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_GEMINI_API_ENDPOINT", given)

    assert Settings.load().gemini.api_endpoint == given


def test_what_pydantic_says_itself_holds_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_URL", "postgresql://u:hunter2#@h/d")

    with pytest.raises(ValidationError) as raised:
        DatabaseSettings()
    assert "hunter2" not in f"{raised.value} {raised.value!r}"


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
        ("MEMORY_DATA_DIR", "~nobody-of-this-name/data"),
        ("MEMORY_LOG_LEVEL", "LOUD"),
        ("MEMORY_METRICS_ENABLED", "perhaps"),
        ("MEMORY_HISTORY_DAYS", "-1"),
        ("MEMORY_REQUEST_MAX_BYTES", "16MB"),
        ("MEMORY_REQUEST_MAX_BYTES", "0"),
        ("MEMORY_REQUEST_TIMEOUT_SECONDS", "0"),
        ("MEMORY_REQUEST_TIMEOUT_SECONDS", "inf"),
        ("MEMORY_SLOW_REQUEST_SECONDS", "-1"),
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


@pytest.mark.parametrize(
    "name", ["MEMORY_API_KEYS", "MEMORY_GEMINI_API_KEY", "MEMORY_OPENAI_API_KEY", "MEMORY_RERANK_API_KEY"]
)
@pytest.mark.parametrize("value", ["hunter2 hunter2", "hünter2", "hunter2\n3", "hunter2\x01"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    line = refusal()

    assert line.startswith(f"{name}: a key must be of printable ASCII")
    assert "nter2" not in line


def test_root_keys_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_API_KEYS", ",")

    assert refusal().startswith("MEMORY_API_KEYS: must name at least one")


def test_no_secret_is_shown_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "MEMORY_DATABASE_URL": "postgresql://u:hunter2@h/d",
        "MEMORY_DATABASE_READ_URL": "postgresql://u:hunter2@h/d",
        "MEMORY_API_KEYS": "hunter2",
        "MEMORY_REDIS_URL": "redis://u:hunter2@h/0",
        "MEMORY_GEMINI_API_KEY": "hunter2",
        "MEMORY_OPENAI_API_KEY": "hunter2",
        "MEMORY_RERANK_API_KEY": "hunter2",
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


def test_the_launcher_says_it_in_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MEMORY_DATABASE_URL": "postgresql://u:pa#hunter2@h/d"}
    launch = [sys.executable, "-m", "serve_app.launch"]

    done = subprocess.run(launch, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: MEMORY_DATABASE_URL: {POSTGRES_FORM}\n"


def test_the_launcher_does_not_quote_a_config_that_it_cannot_read(tmp_path: Path) -> None:
    config = tmp_path / "serve_config.yaml"
    config.write_text('applications:\n- MEMORY_OPENAI_API_KEY: "hunter2" oops\n')
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MEMORY_DATA_DIR": str(tmp_path / "data")}
    launch = [sys.executable, "-m", "serve_app.launch", "--config", str(config)]

    done = subprocess.run(launch, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (2, f"error: --config: {config} is no YAML, line 2\n")


def test_nothing_is_read_when_the_module_is_imported() -> None:
    environment = {**os.environ, "MEMORY_LOG_LEVEL": "LOUD", "MEMORY_DATABASE_URL": "mysql://h/d"}
    imports = [sys.executable, "-c", "import deployments.settings, serve_app.api, serve_app.build"]

    done = subprocess.run(imports, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_the_example_names_every_setting_and_no_other() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assigned = [line.lstrip("# ").partition("=") for line in lines]

    assert {name for name, equals, _ in assigned if equals and name.startswith("MEMORY_")} == known_names()
