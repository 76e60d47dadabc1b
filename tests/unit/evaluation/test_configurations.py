"""Configurations: what they say is checked by the service's own models, and what is wrong is said in one line."""

from pathlib import Path

import pytest

from deployments.schemas.search import Weights
from deployments.schemas.vectors import ProviderName
from deployments.settings import Settings
from jobs.evaluation.configurations import Configuration, ablated, read_configurations, settings_used, without_password
from jobs.evaluation.errors import EvaluationInputError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "configurations.toml"
    path.write_text(text)
    return path


def test_without_a_file_there_are_the_defaults() -> None:
    (default,) = read_configurations(None)

    assert default.name == "default"
    assert default.weights == Weights()
    assert default.applied_to(Settings.load()) == Settings.load()


def test_weights_and_settings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_SEARCH_CANDIDATES", "70")
    monkeypatch.setenv("MEMORY_SEARCH_EXACT_LIMIT", "7")
    text = """
        ["words only!"]
        weights.similarity = 0
        [wide]
        search.candidates = 200
        embedding.provider = "openai_compatible"
        openai.base_url = "http://localhost:1234/v1"
    """

    words, wide = read_configurations(written(tmp_path, text))
    settings = wide.applied_to(Settings.load())

    assert words.name == "words only!"
    assert words.weights.similarity == 0
    assert words.weights.model_fields_set == {"similarity"}
    assert words.applied_to(Settings.load()).search.candidates == 70
    assert (settings.search.candidates, settings.search.exact_limit) == (200, 7)
    assert settings.embedding.provider is ProviderName.OPENAI_COMPATIBLE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file holds no configuration"),
        ("[a", "Expected ']'"),
        ("[a]\n[a]", "Cannot declare"),
        ("candidates = 5", "[candidates]: must be a table"),
        ("[a]\nweight.words = 1", "[a]: weight: is none of weights, search, embedding, gemini, openai"),
        ("[a]\nhttp.request_max_bytes = 1", "[a]: http: is none of"),
        ("[a]\ndatabase.url = 'postgresql://x'", "[a]: database: is none of"),
        ("[a]\nweights = 1", "[a]: weights: must name a field"),
        ("[a]\nweights.wit = 1", "[a]: weights.wit: Extra inputs are not permitted"),
        ("[a]\nweights.words = -1", "[a]: weights.words: Input should be greater than or equal to 0"),
        ("[a]\nweights.words = nan", "[a]: weights.words: "),
        ("[a]\nweights.words = 'much'", "[a]: weights.words: Input should be a valid number"),
        ("[a]\nsearch.depth = 1", "[a]: search.depth: there is no such setting"),
        ("[a]\nsearch.candidates = 5", "[a]: search.candidates: Input should be greater than or equal to 10"),
        ("[a]\nembedding.provider = 'oracle'", "[a]: embedding.provider: Input should be"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(text: str, expected: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)

    with pytest.raises(EvaluationInputError) as caught:
        read_configurations(path)

    assert caught.value.message.startswith(f"{path}: {expected}")
    assert "\n" not in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationInputError, match=r"none\.toml: No such file"):
        read_configurations(tmp_path / "none.toml")


def test_an_ablation_takes_each_weight_away_in_turn() -> None:
    weights = Weights(**dict.fromkeys(Weights.model_fields, 0.0) | {"similarity": 0.5, "words": 0.4, "recency": 0.3})

    found = {each.name: each.weights for each in ablated(Configuration("base", weights), settings_too=False)}

    assert list(found) == [
        "without similarity",
        "without words",
        "without recency",
        "similarity only",
        "words only",
    ]
    for name in ("similarity", "words", "recency"):
        assert found[f"without {name}"] == weights.model_copy(update={name: 0.0})
    assert {name: value for name, value in found["words only"].model_dump().items() if value} == {"words": 1.0}


def test_of_two_weights_one_without_the_other_comes_once() -> None:
    weights = Weights(**dict.fromkeys(Weights.model_fields, 0.0) | {"similarity": 0.5, "words": 0.4})

    assert [each.name for each in ablated(Configuration("base", weights), settings_too=False)] == [
        "similarity only",
        "words only",
    ]


def test_an_ablation_keeps_the_names_apart(tmp_path: Path) -> None:
    path = written(tmp_path, "[default]\n['words only']")

    with pytest.raises(EvaluationInputError, match=r"\[words only\]: --ablation adds"):
        read_configurations(path, ablation=True)


def test_an_ablation_is_of_the_first_configuration(tmp_path: Path) -> None:
    path = written(tmp_path, "[mine]\nsearch.candidates = 33\n[other]")

    found = read_configurations(path, ablation=True)

    assert [each.name for each in found[:2]] == ["mine", "other"]
    assert all(each.applied_to(Settings.load()).search.candidates == 33 for each in found[2:])


def test_no_secret_is_among_the_settings_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_EMBEDDING_PROVIDER", "openai_compatible")
    monkeypatch.setenv("MEMORY_OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("MEMORY_OPENAI_BASE_URL", "http://name:very-secret@localhost:1234/v1")

    used = settings_used(Settings.load())

    assert "secret" not in str(used)
    assert used["openai"]["base_url"] == "http://localhost:1234/v1"
    assert "gemini" not in used


@pytest.mark.parametrize("text", ["english", "http://localhost:8000", "http://localhost:8000/a@b"])
def test_what_holds_no_password_stays_as_it_is(text: str) -> None:
    assert without_password(text) == text
