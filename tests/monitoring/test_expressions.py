"""No rule and no panel asks for what the service does not tell."""

import re

import pytest

from tests.monitoring.exposed import samples, values
from tests.monitoring.expressions import Asked, asked, rules
from tests.monitoring.promql import StaleError, equalities, labels, selectors

# What Ray and HAProxy tell: tests/serve/test_monitoring.py scrapes it.
FOREIGN = ("ray_", "haproxy_")
ASKED = asked()


def recorded() -> dict[str, frozenset[str]]:
    """What rules record: totals, without labels."""
    return {name: frozenset() for name, rule in rules().items() if "record" in rule}


def of_the_service(each: Asked) -> bool:
    """Whether the service alone answers it."""
    return not any((selector.name or "").startswith(FOREIGN) for selector in selectors(each.expression))


OWN = [each for each in ASKED if of_the_service(each)]


@pytest.mark.parametrize("each", OWN, ids=lambda each: each.where)
def test_every_metric_and_label_is_one_that_the_service_exposes(each: Asked) -> None:
    assert each.shown <= labels(each.expression, {**samples(), **recorded()})


@pytest.mark.parametrize("each", OWN, ids=lambda each: each.where)
def test_a_label_is_asked_for_values_that_it_may_have(each: Asked) -> None:
    known = values()
    for selector in selectors(each.expression):
        name = re.sub("_(bucket|sum|count)$", "", selector.name or "")
        for label, wanted in equalities(selector):
            assert set(wanted) <= known.get((name, label), set(wanted)), selector


def test_there_are_rules_panels_and_variables() -> None:
    """The tests above would hold of nothing too."""
    assert len(ASKED) > 80
    assert {"MemoryServiceDown", "Latency, p95", "$endpoint"} <= {each.where for each in OWN}


@pytest.mark.parametrize(
    "stale",
    [
        "http_requests",
        "sum(rate(http_request_total[5m]))",
        'http_requests_total{code="200"}',
        "sum by (tenant) (http_requests_total)",
        "sum by (status) (sum by (method) (http_requests_total))",
        "histogram_quantile(0.5, sum by (le) (rate(embedding_claim_size[5m])))",
        "histogram_quantile(0.5, sum by (le) (rate(embedding_claim_size_count[5m])))",
        "embeddings_pending and on (deployment) replicas",
        "1 - (vector(0) or embeddings_gone)",
        '{__name__=~"http_.*"}',
    ],
)
def test_what_is_not_there_is_found_wherever_it_stands(stale: str) -> None:
    with pytest.raises(StaleError):
        labels(stale, samples())
