"""The codes of languages, the detection of one, and what a policy makes of both."""

import subprocess
import sys

import pytest
import Stemmer

from deployments.analysis.languages import LANGUAGES, detected, language_code, stem
from deployments.analysis.policy import LanguagePolicy, language_of
from deployments.errors import ConfigurationError
from deployments.settings import Settings
from tests.paths import ROOT

WORDS = ["running", "arbeiten", "nationales", "programación", "häuser", "παιδιά", "программирования", "книгами"]


@pytest.mark.parametrize("name", sorted(set(Stemmer.algorithms()) - {"porter", "dutch_porter"}))
def test_a_name_of_snowballs_is_the_code_of_the_same_language(name: str) -> None:
    code = language_code(name)

    assert code in LANGUAGES
    assert [stem(word, code) for word in WORDS] == [Stemmer.Stemmer(name).stemWord(word) for word in WORDS]


@pytest.mark.parametrize(("value", "code"), [("english", "en"), ("en", "en"), ("zh", "zh"), ("simple", "simple")])
def test_the_settings_take_a_code_or_a_name(value: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_SEARCH_LANGUAGE", value)

    assert Settings.load().search.language == code


def test_the_settings_refuse_what_is_no_language_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_SEARCH_LANGUAGE", "klingon")

    with pytest.raises(ConfigurationError, match=r"^MEMORY_SEARCH_LANGUAGE: must be a language's .*$"):
        Settings.load()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Die Häuser am See sind schön", "de"),
        ("La reunión es mañana por la tarde", "es"),
        ("I like cats, and dogs too", "en"),
        ("私は猫が好きです", "ja"),
        ("ok", None),
        ("https://example.org/a?b=c", None),
        ("", None),
    ],
)
def test_a_language_is_detected_where_there_is_enough_to_be_sure(text: str, language: str | None) -> None:
    assert detected(text) == language


def test_detection_that_is_off_loads_nothing() -> None:
    code = (
        "import sys\n"
        "from deployments.analysis.policy import LanguagePolicy\n"
        "LanguagePolicy('en').of_document('Die Häuser', None)\n"
        "sys.exit('py3langid' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("policy", "own", "languages"),
    [
        (LanguagePolicy("en"), None, ("en",)),
        (LanguagePolicy("en"), "en", ("en",)),
        (LanguagePolicy("en"), "de", ("de", "en")),
        (LanguagePolicy("en", detect=True), None, ("de", "en")),
        (LanguagePolicy("de", detect=True), None, ("de",)),
        (LanguagePolicy("en", detect=True), "fr", ("fr", "en")),
    ],
)
def test_a_message_is_analysed_in_its_own_language_and_in_the_tenants(
    policy: LanguagePolicy, own: str | None, languages: tuple[str, ...]
) -> None:
    assert policy.of_document("Die Häuser am See sind schön", own) == languages


def test_a_tag_tells_the_language() -> None:
    assert language_of(LanguagePolicy("de", detect=True).tag) == "de"
    assert language_of(LanguagePolicy("simple").tag) == "simple"
