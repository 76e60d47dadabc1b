"""A stand-in for `/rerank` endpoints: a real HTTP server on loopback that speaks both formats."""

from typing import Any

from tests.unit.embedding.stand_in import Received, StandIn


class RerankStandIn(StandIn):
    """Answers by a table of words: a document's score is that of the first word of the table that is in it, else 0.01.

    Scripted answers come first, as with embeddings. Results are not in the documents' order, as with real endpoints.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scores: dict[str, float] = {}

    def default_body(self, request: Received) -> Any:
        """Score what is asked in the format in which it is asked."""
        tei = "texts" in request.body
        texts, name = request.body["texts" if tei else "documents"], "score" if tei else "relevance_score"
        results = [{"index": index, name: self._score(text)} for index, text in enumerate(texts)]
        results.sort(key=lambda result: result[name], reverse=True)
        return results if tei else {"id": "1", "results": results, "meta": {}}

    def _score(self, text: str) -> float:
        return next((score for word, score in self.scores.items() if word in text), 0.01)
