"""What only wordllama's provider does."""

import subprocess
import sys

import numpy as np
import pytest

from deployments.embedding.providers.local import LocalProvider
from deployments.schemas.vectors import EmbeddingSpace

OFFLINE_AND_QUIET = """
import asyncio, logging, socket

def refuse(*args, **kwargs):
    raise AssertionError("the network was asked")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from deployments.embedding.providers.local import LocalProvider
from deployments.schemas.vectors import EmbeddingSpace
provider = LocalProvider(EmbeddingSpace("wordllama/l2_supercat", 256))
assert asyncio.run(provider.embed_documents(["tea"])).shape == (1, 256)
assert logging.getLogger().handlers == [], logging.getLogger().handlers
assert logging.getLogger().level == logging.WARNING, logging.getLogger().level
"""


@pytest.fixture(scope="module")
def provider() -> LocalProvider:
    """One for all tests: they change nothing in it."""
    return LocalProvider(EmbeddingSpace("wordllama/l2_supercat", 256))


def test_a_fresh_process_loads_it_without_network_and_leaves_logging_alone() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", OFFLINE_AND_QUIET], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


async def test_near_texts_are_nearer_than_others(provider: LocalProvider) -> None:
    documents = await provider.embed_documents(["My sister lives in Portugal.", "The engine needs new oil."])
    query = await provider.embed_queries(["Which country does my sister live in?"])
    near, far = documents @ query[0]
    assert near > far + 0.2


async def test_a_text_without_tokens_is_a_unit_vector_and_harms_no_neighbour(provider: LocalProvider) -> None:
    vectors = await provider.embed_documents(["", "tea", ""])
    assert vectors[0].tolist() == vectors[2].tolist() == [1.0] + [0.0] * 255
    np.testing.assert_array_equal(vectors[1], (await provider.embed_documents(["tea"]))[0])


async def test_lengths_may_differ_widely(provider: LocalProvider) -> None:
    texts = ["tea", "Ana moved to Lisbon. " * 1_500, "", "It rained all day.", "rain " * 4_000]
    together = await provider.embed_documents(texts)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(vector, (await provider.embed_documents([text]))[0], atol=1e-6)


async def test_one_long_text_does_not_pad_its_neighbours(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    padded: list[int] = []
    embed = provider._model.embed

    def counting(texts: list[str], batch_size: int) -> object:
        padded.append(len(texts) * max(map(len, texts)))
        return embed(texts, batch_size=batch_size)

    monkeypatch.setattr(provider._model, "embed", counting)
    await provider.embed_documents(["hi"] * 63 + ["x y " * 8_000])
    assert sum(padded) == 63 * 2 + 32_000


async def test_only_the_beginning_of_an_endless_text_counts(provider: LocalProvider) -> None:
    endless = await provider.embed_documents(["tea " * 25_250 + "engine oil " * 25_000])
    np.testing.assert_array_equal(endless, await provider.embed_documents(["tea " * 25_250]))
