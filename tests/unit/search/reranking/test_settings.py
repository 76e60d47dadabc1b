"""The reranker's settings, and what is refused at the start."""

import pytest

from deployments.errors import ConfigurationError
from deployments.settings import RerankStyle, Settings

URL = "http://reranker:8080/v2/rerank"


def refusal() -> str:
    with pytest.raises(ConfigurationError) as raised:
        Settings.load()
    assert "\n" not in raised.value.message
    return raised.value.message


def test_there_is_no_reranker_unless_one_is_set() -> None:
    rerank = Settings.load().rerank

    assert (rerank.url, rerank.style, rerank.candidates, rerank.timeout_seconds) == (None, RerankStyle.COHERE, 50, 1.0)


def test_requests_in_coheres_format_need_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_RERANK_URL", URL)
    assert refusal().startswith("MEMORY_RERANK_MODEL: must be set")

    monkeypatch.setenv("MEMORY_RERANK_MODEL", "reranker-1")
    assert Settings.load().rerank.model == "reranker-1"


def test_requests_in_teis_format_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_RERANK_URL", URL)
    monkeypatch.setenv("MEMORY_RERANK_STYLE", "tei")

    assert Settings.load().rerank.model is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEMORY_RERANK_URL", "reranker:8080"),
        ("MEMORY_RERANK_STYLE", "crystal_ball"),
        ("MEMORY_RERANK_CANDIDATES", "0"),
        ("MEMORY_RERANK_CANDIDATES", "1001"),
        ("MEMORY_RERANK_TIMEOUT_SECONDS", "nan"),
        ("MEMORY_RERANK_TIMEOUT_SECONDS", "0"),
        ("MEMORY_RERANK_TIMEOUT_SECONDS", "11"),
        ("MEMORY_RERANK_MAX_CHARACTERS", "99"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_in_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    assert refusal().startswith(f"{name}: ")
