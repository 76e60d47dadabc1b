"""Which series an expression needs, and which labels its result has."""

from collections.abc import Iterable, Iterator, Mapping

import promql_parser as promql

Known = Mapping[str, frozenset[str]]

# What Prometheus adds to each sample that it scrapes.
OF_TARGET = frozenset({"job", "instance"})
# What Prometheus tells of itself.
OWN: Known = {"up": OF_TARGET, "ALERTS": frozenset({"alertname", "alertstate", "severity"})}


class StaleError(AssertionError):
    """An expression names what is not there."""


def selectors(expression: str) -> list[promql.VectorSelector]:
    """Every selector, wherever it stands."""
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(promql.parse(expression), visit)
    return found


def equalities(selector: promql.VectorSelector) -> Iterator[tuple[str, list[str]]]:
    """Each label that is to have a value, or one of several, that are spelled out."""
    for matcher in selector.matchers.matchers:
        if matcher.op == promql.MatchOp.Equal or (matcher.op == promql.MatchOp.Re and matcher.value.isidentifier()):
            yield matcher.name, [matcher.value]
        elif matcher.op == promql.MatchOp.Re and all(part.isidentifier() for part in matcher.value.split("|")):
            yield matcher.name, matcher.value.split("|")


def labels(expression: str, known: Known) -> frozenset[str]:
    """The labels of the result. Raises `StaleError` for a metric or a label that is not known, wherever it stands."""
    return _labels(promql.parse(expression), {**known, **OWN})


def _labels(node: promql.Expr, known: Known) -> frozenset[str]:
    found = frozenset[str]()
    match node:
        case promql.VectorSelector():
            found = _selected(node, known)
        case promql.MatrixSelector():
            found = _selected(node.vector_selector, known)
        case promql.ParenExpr() | promql.SubqueryExpr() | promql.UnaryExpr():
            found = _labels(node.expr, known)
        case promql.AggregateExpr():
            found = _aggregated(node, _labels(node.expr, known))
        case promql.BinaryExpr():
            found = _matched(node, _labels(node.lhs, known), _labels(node.rhs, known))
        case promql.Call():
            found = found.union(*(_labels(each, known) for each in node.args))
            found -= {"le"} if node.func.name == "histogram_quantile" else set()
    return found


def _selected(selector: promql.VectorSelector, known: Known) -> frozenset[str]:
    if selector.name is None or selector.name not in known:
        raise StaleError(f"no metric {selector.name}")
    has = known[selector.name] | OF_TARGET
    _hold({matcher.name for matcher in selector.matchers.matchers}, has, selector.name)
    return has


def _aggregated(node: promql.AggregateExpr, inside: frozenset[str]) -> frozenset[str]:
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    _hold(named, inside, node.prettify())
    return named if node.modifier.type == promql.AggModifierType.By else inside - named


def _matched(node: promql.BinaryExpr, left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    matching = node.modifier.matching if node.modifier is not None else None
    for side in (left, right):
        _hold(matching.labels if matching is not None else (), side, node.prettify())
    return right if isinstance(node.lhs, promql.NumberLiteral) else left


def _hold(named: Iterable[str], has: frozenset[str], where: str) -> None:
    if missing := set(named) - has:
        raise StaleError(f"no label {', '.join(sorted(missing))} in {where}")
