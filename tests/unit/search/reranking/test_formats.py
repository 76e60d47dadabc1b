"""The formats of `/rerank` endpoints: what is asked, and which answers are refused."""

import math
from typing import Any

import orjson
import pytest

from deployments.search.reranking.formats import relevances, request_body
from deployments.search.reranking.protocol import RerankInvalidError
from deployments.settings import RerankStyle

STYLES = list(RerankStyle)


def answer(style: RerankStyle, *results: tuple[Any, Any]) -> bytes:
    """An answer of (index, score) pairs."""
    name = "score" if style is RerankStyle.TEI else "relevance_score"
    listed = [{"index": index, name: score} for index, score in results]
    return orjson.dumps(listed if style is RerankStyle.TEI else {"results": listed})


def test_each_style_asks_for_all_documents_in_its_own_words() -> None:
    cohere = orjson.loads(request_body(RerankStyle.COHERE, "m", "tea?", ["a", "b"]))
    tei = orjson.loads(request_body(RerankStyle.TEI, "m", "tea?", ["a", "b"]))

    assert cohere == {"model": "m", "query": "tea?", "documents": ["a", "b"], "top_n": 2}
    assert tei == {"query": "tea?", "texts": ["a", "b"], "truncate": True}


@pytest.mark.parametrize("style", STYLES)
def test_scores_come_back_in_the_order_of_the_documents(style: RerankStyle) -> None:
    assert relevances(style, answer(style, (2, 0.9), (0, 0.5), (1, 0)), 3) == [0.5, 0.0, 0.9]


@pytest.mark.parametrize("style", STYLES)
def test_logits_go_through_the_logistic_function_and_keep_their_order(style: RerankStyle) -> None:
    found = relevances(style, answer(style, (0, -4.0), (1, 0.0), (2, 1.5), (3, 0.5)), 4)

    assert found == pytest.approx([1 / (1 + math.exp(-x)) for x in (-4.0, 0.0, 1.5, 0.5)])


def test_no_logit_is_too_great() -> None:
    style = RerankStyle.TEI

    assert relevances(style, answer(style, (0, -1e300), (1, 1e300)), 2) == [0.0, 1.0]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "results",
    [
        [],
        [(0, 0.5)],
        [(0, 0.5), (1, 0.5), (2, 0.5)],
        [(0, 0.5), (0, 0.5)],
        [(0, 0.5), (2, 0.5)],
        [(-1, 0.5), (0, 0.5)],
        [(True, 0.5), (0, 0.5)],
        [("1", 0.5), (0, 0.5)],
        [(1.0, 0.5), (0, 0.5)],
        [(0, 0.5), (1, None)],
        [(0, 0.5), (1, "0.5")],
        [(0, 0.5), (1, True)],
    ],
)
def test_an_answer_that_cannot_be_right_is_refused(style: RerankStyle, results: list[tuple[Any, Any]]) -> None:
    with pytest.raises(RerankInvalidError):
        relevances(style, answer(style, *results), 2)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[",
        b"7",
        b"null",
        b"[7]",
        b'{"results": 7}',
        b'{"results": [7]}',
        b'{"results": [{"index": 0}]}',
        b'{"error": "x"}',
        b'[{"index": 0, "score": NaN}]',
        b'[{"index": 0, "score": 1e999}]',
        b'{"results": [{"index": 0, "relevance_score": NaN}]}',
        b'{"results": [{"index": 0, "relevance_score": 1e999}]}',
        b"\xff",
        b"[" * 5_000,
    ],
)
def test_what_is_no_answer_is_refused(style: RerankStyle, body: bytes) -> None:
    with pytest.raises(RerankInvalidError):
        relevances(style, body, 1)
