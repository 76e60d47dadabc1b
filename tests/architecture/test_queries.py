"""The named queries: each keeps to its tenant, and each is used."""

import re

import pytest

from tests.paths import ROOT

QUERIES = ROOT / "deployments" / "storage" / "queries"
NAMED = re.compile(r"^-- name: (\w+)\S*$", re.MULTILINE)
TOUCHES_MESSAGES = re.compile(
    r"\b(?:FROM|JOIN|UPDATE|INTO|USING)\s+messages\b(?:\s+AS)?\s*(?P<alias>\w+)?", re.IGNORECASE
)
KEYWORDS = {"where", "set", "left", "join", "on", "cross", "order", "group", "limit", "using", "union"}


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)


def queries() -> dict[str, str]:
    """Every query by its name."""
    found: dict[str, str] = {}
    for path in sorted(QUERIES.glob("*.sql")):
        _, *parts = NAMED.split(path.read_text())
        for name, sql in zip(parts[::2], parts[1::2], strict=True):
            assert name not in found, f"two queries are named {name}"
            found[name] = without_comments(sql)
    return found


def blocks(sql: str) -> list[str]:
    """The innermost-to-outermost SELECTs, UPDATEs and DELETEs of a query, each without those inside of it."""
    found = []
    rest = sql
    while match := re.search(r"\([^()]*\)", rest):
        found.append(match.group())
        rest = rest[: match.start()] + " … " + rest[match.end() :]
    return [*found, rest]


def unguarded(sql: str) -> list[str]:
    """The uses of `messages` beside which no tenant is compared."""
    found = []
    for block in blocks(sql):
        for use in TOUCHES_MESSAGES.finditer(block):
            alias = use["alias"]
            prefix = rf"{alias}\." if alias and alias.lower() not in KEYWORDS else r"(?:messages\.)?"
            inserted = use.group().upper().startswith("INTO")
            if not inserted and not re.search(rf"\b{prefix}tenant_id\s*=", block):
                found.append(use.group())
    return found


def test_a_query_that_touches_messages_names_the_tenant() -> None:
    forgetful = [f"{name}: {use}" for name, sql in queries().items() for use in unguarded(sql)]

    assert not forgetful, "\n".join(forgetful)


def test_the_check_itself_finds_a_query_that_forgets_the_tenant() -> None:
    assert unguarded("SELECT * FROM messages WHERE id = :id")
    assert unguarded("SELECT * FROM jobs j JOIN messages m ON m.id = j.id WHERE j.tenant_id = :t")
    assert unguarded("SELECT * FROM (SELECT id FROM messages) AS c JOIN messages m ON m.id = c.id AND m.tenant_id = :t")
    assert unguarded("DELETE FROM messages WHERE id = :id AND a IN (SELECT 1 FROM t WHERE tenant_id = :t)")
    assert not unguarded("UPDATE messages m SET a = 1 WHERE m.tenant_id = :t")


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        ("WITH eligible", "\n), "),
        ("sum(embedding_sum", "FROM tenant_statistics"),
        ("coalesce(asked::vector", ") AS a"),
    ],
    ids=["messages", "mean", "direction"],
)
def test_an_audit_measures_the_same_as_a_search(begins: str, ends: str) -> None:
    search, audit = (queries()[name].partition(begins) for name in ("find_candidates", "measure_all"))

    assert search[1]
    assert search[2].partition(ends)[0] == audit[2].partition(ends)[0]


def test_some_queries_are_looked_at() -> None:
    assert sum(bool(TOUCHES_MESSAGES.search(sql)) for sql in queries().values()) >= 10


def test_a_query_is_used() -> None:
    sources = [
        path.read_text() for folder in ("deployments", "jobs", "serve_app") for path in (ROOT / folder).rglob("*.py")
    ]
    called = {name for text in sources for name in re.findall(r"\.(\w+)\(", text)}
    unused = [name for name in queries() if not {name, f"{name}_cursor"} & called]

    assert not unused, "\n".join(unused)
