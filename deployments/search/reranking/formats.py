"""The two JSON formats of `/rerank` endpoints. Pure functions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from deployments.search.reranking.protocol import RerankInvalidError
from deployments.settings import RerankStyle


def request_body(style: RerankStyle, model: str | None, query: str, documents: Sequence[str]) -> bytes:
    """Return the JSON body that requests the relevance of every document.

    Without `truncate`, TEI rejects the whole request if one pair is longer than its model's window.
    """
    body: Mapping[str, Any]
    match style:
        case RerankStyle.COHERE:
            body = {"model": model, "query": query, "documents": documents, "top_n": len(documents)}
        case RerankStyle.TEI:
            body = {"query": query, "texts": documents, "truncate": True}
    return orjson.dumps(body)


def relevances(style: RerankStyle, body: bytes, count: int) -> list[float]:
    """Return the relevance of each of `count` documents, 0 to 1, in the documents' order.

    Raises `RerankInvalidError` unless each index occurs exactly once and each score is a finite number.
    """
    scores: dict[int, float] = {}
    for index, score in _results(style, body):
        if type(index) is not int or not 0 <= index < count or index in scores:
            raise RerankInvalidError("The reranker's answer has an index that is out of range or there twice.")
        if type(score) not in {int, float} or not math.isfinite(score):
            raise RerankInvalidError("The reranker's answer has a score that is not a finite number.")
        scores[index] = float(score)
    if len(scores) != count:
        raise RerankInvalidError(f"The reranker answered {len(scores)} scores for {count} documents.")
    return _bounded([scores[index] for index in range(count)])


def _results(style: RerankStyle, body: bytes) -> list[tuple[Any, Any]]:
    try:
        answer = orjson.loads(body)
        match style:
            case RerankStyle.COHERE:
                return [(each["index"], each["relevance_score"]) for each in answer["results"]]
            case RerankStyle.TEI:
                return [(each["index"], each["score"]) for each in answer]
    except (ValueError, KeyError, TypeError):
        raise RerankInvalidError("The reranker's answer cannot be read: check MEMORY_RERANK_STYLE.") from None


def _bounded(scores: list[float]) -> list[float]:
    """Return the scores unchanged if all are within 0..1, else the logistic function of each.

    Scores outside are logits: some servers return them unless the model's settings differ. Clipping would tie
    most of them at 0 or 1; the logistic function keeps their order. `tanh` does not overflow where `exp` does.
    """
    if all(0.0 <= score <= 1.0 for score in scores):
        return scores
    return [0.5 * (1.0 + math.tanh(0.5 * score)) for score in scores]
