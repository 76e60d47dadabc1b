"""What a query asks for: terms, how much each counts, and a time. Pure: the clock is passed in."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from deployments.search.analysis.stop_words import stop_terms
from deployments.search.analysis.terms import Languages, QueryTerms, query_terms
from deployments.search.times import Span, TimeReference, time_reference

# Measured on three sets (docs/decisions/0029-scores.md): dropping stop words loses queries that consist of them, and
# counting them in full loses 2 points of R@10 to sentences that share nothing else with the question.
STOP_WORD_WEIGHT = 0.2


@dataclass(frozen=True)
class AnalyzedQuery:
    """A query as candidates are found and ranked by it.

    `terms`, each with its weight in `weights`, 0 to 1. `words`: the terms of each word, any of which finds it.
    `span`: when it asks about. `relative`: the span depends on when it is asked, as in "yesterday".
    """

    terms: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    span: Span | None = None
    relative: bool = False

    @cached_property
    def weight_of(self) -> dict[str, float]:
        """The weight of each term."""
        return dict(zip(self.terms, self.weights, strict=True))


NO_WORDS = AnalyzedQuery()


def analyze_query(text: str, now: datetime, languages: Languages) -> AnalyzedQuery:
    """Return what the query asks for, in the first of the languages that it names a time in.

    Stop words count little, unless the query consists of them. The words of a relative time count nothing: "last week"
    is not about weeks.
    """
    time = next(filter(None, (time_reference(text, now, language) for language in languages)), None)
    found = query_terms(_without_relative(text, time), languages)
    weights = _weights(found, languages)
    if time is None:
        return AnalyzedQuery(found.terms, weights, found.words)
    return AnalyzedQuery(found.terms, weights, found.words, time.span, relative=time.relative)


def _without_relative(text: str, time: TimeReference | None) -> str:
    if time is None or not time.relative:
        return text
    start, end = time.text
    return f"{text[:start]} {text[end:]}"


def _weights(found: QueryTerms, languages: Languages) -> tuple[float, ...]:
    stop = frozenset[str]().union(*map(stop_terms, languages))
    if stop.issuperset(found.terms):
        return (1.0,) * len(found.terms)
    return tuple(STOP_WORD_WEIGHT if term in stop else 1.0 for term in found.terms)
