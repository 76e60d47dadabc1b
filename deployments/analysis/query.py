"""Analyses a query: its terms, their weights, and the time that it names. Pure: the clock is passed in."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from deployments.analysis.stop_words import stop_terms
from deployments.analysis.terms import Languages, QueryTerms, query_terms
from deployments.analysis.times import Span, time_reference

# Measured on three sets (docs/decisions/0029-scores.md): dropping stop words loses queries that consist of them, and
# counting them in full loses 2 points of R@10 to sentences that share nothing else with the question.
STOP_WORD_WEIGHT = 0.2


@dataclass(frozen=True)
class AnalyzedQuery:
    """An analysed query, for finding and ranking candidates.

    `weights`: the weight of each of `terms`, 0 to 1. `words`: the alternative terms of each word. `span`: the time that
    the query names, or None. `said_then`: the query asks for what was said at that time, as with "yesterday", and not
    only for what happened then.
    """

    terms: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    span: Span | None = None
    said_then: bool = False

    @cached_property
    def weight_of(self) -> dict[str, float]:
        """Return the weight of each term."""
        return dict(zip(self.terms, self.weights, strict=True))


NO_WORDS = AnalyzedQuery()


def analyze_query(text: str, now: datetime, languages: Languages) -> AnalyzedQuery:
    """Return the analysed query. Its time is the first one found in the order of the languages.

    Stop words have little weight, unless the query consists of them. The words of a relative time are dropped: "last
    week" is not about weeks.
    """
    time = next(filter(None, (time_reference(text, now, language) for language in languages)), None)
    stop = stop_terms(languages)
    if time is None:
        return _analyzed(query_terms(text, languages), stop)
    besides = query_terms(f"{text[: time.text[0]]} {text[time.text[1] :]}", languages)
    found = besides if time.relative else query_terms(text, languages)
    # "What did I do in spring 2024?" has no other content words, so only messages from that time can answer it.
    said_then = time.relative or stop.issuperset(besides.terms)
    return replace(_analyzed(found, stop), span=time.span, said_then=said_then)


def _analyzed(found: QueryTerms, stop: frozenset[str]) -> AnalyzedQuery:
    only_stop_words = stop.issuperset(found.terms)
    weights = (STOP_WORD_WEIGHT if term in stop and not only_stop_words else 1.0 for term in found.terms)
    return AnalyzedQuery(found.terms, tuple(weights), found.words)
