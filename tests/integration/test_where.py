"""`where` means the same in SQL, in an index in memory, and in `docs/filters.md`."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import orjson
import pytest

from deployments.schemas.search import MessageListing, SearchRequest
from deployments.search.index.filtering import passing
from deployments.search.index.tenant_index import TenantIndex
from deployments.settings import Settings
from deployments.storage.messages.analysis import message_analyzer
from deployments.storage.messages.repository import MessageRepository
from tests.integration.calls import Json, found, message, store_many
from tests.integration.indexed import ROOMY, Replica, connected, replicas
from tests.integration.service import Service

NOW = datetime(2026, 5, 7, 12, tzinfo=UTC)
# When messages expire: what has expired, no listing shows.
LATER = datetime(2126, 5, 7, 12, tzinfo=UTC)
CASES = 300
MESSAGES = 120
STORE = """
    INSERT INTO messages (id, tenant_id, conversation_id, role, name, content, metadata, importance,
                          importance_override, user_id, agent_id, external_id, expires_at, embedding_status, terms,
                          created_at, updated_at)
    VALUES ($1, 'acme', $2, $3, $4, 'x', $5, $6, $7, $8, $9, $10, $11, 'failed', '', $12, $12)
"""
ABSENT = object()
TIMES = ("2026-05-07T12:00:00Z", "2026-05-07T14:00:00+02:00", "2026-05-07 12:00:00.0000001Z", "2024-02-29T23:59+05")
STRINGS = (
    *TIMES, "2026-02-30T00:00:00Z", "2026-05-07", "2026-05-07T12:00:00", "0000-01-01T00:00:00Z", "", "a", "B", "ab",
    "Ä", "\ud7ff", "\U0001f600", "\ufffd", "1", "true", 'a"b\\c', "ab\n",
)  # fmt: skip
NUMBERS = (
    0, 1, 1.0, -0.0, 2, 0.1, 0.3, 0.30000000000000004, 2**53, 2**53 + 1, float(2**53), 2**63, 2**64 - 1,
    1.8446744073709552e19, 1e308, -(2**63), 5e-324,
)  # fmt: skip
KEYS = ("a", "b", "c.d", 'q"', "or")
_COLUMNS = (
    "id", "conversation_id", "role", "name", "metadata", "importance", "importance_override", "user_id", "agent_id",
    "external_id", "expires_at", "created_at",
)  # fmt: skip
FIELDS = (
    "role",
    "name",
    "conversation_id",
    "user_id",
    "agent_id",
    "external_id",
    "created_at",
    "expires_at",
    "importance",
)


def drawn_value(random: Random, depth: int = 2) -> Any:
    kind = random.randrange(10 if depth else 8)
    if kind < 3:
        return random.choice(NUMBERS)
    if kind < 6:
        return random.choice(STRINGS)
    if kind < 8:
        return random.choice((True, False, None))
    if kind == 8:
        return [drawn_value(random, depth - 1) for _ in range(random.randrange(3))]
    return {random.choice(KEYS): drawn_value(random, depth - 1) for _ in range(random.randrange(3))}


def drawn_message(random: Random, number: int) -> Json:
    metadata = {random.choice(KEYS): drawn_value(random) for _ in range(random.randrange(4))}
    return {
        "id": UUID(int=random.getrandbits(128)),
        "conversation_id": random.choice(("c", "c/1", "c2")),
        "role": random.choice(("user", "assistant")),
        "name": random.choice((None, "Ida", "ida", "Ä")),
        "metadata": metadata,
        "importance": random.choice((None, 0.0, 0.3, 1.0)),
        "importance_override": random.choice((None, None, 0.5)),
        "user_id": random.choice((None, "ada", "bo")),
        "agent_id": random.choice((None, "helper")),
        "external_id": random.choice((None, f"crm-{number}")),
        "expires_at": random.choice((None, LATER, LATER + timedelta(microseconds=1))),
        "created_at": NOW - timedelta(days=random.randrange(3)),
    }


def drawn_where(random: Random, depth: int = 3) -> Json:
    where: Json = {}
    for _ in range(random.choice((0, 1, 1, 1, 2)) if depth < 3 else 1):
        kind = random.randrange(6 if depth else 4)
        if kind < 2:
            where[random.choice(("a", "b", "a.a", "b.b", r"c\.d", 'metadata.q"', "metadata.or", "a.b.a"))] = on_path(
                random
            )
        elif kind < 4:
            name = random.choice(FIELDS)
            where[name] = on_field(random, name)
        elif kind == 4:
            where[random.choice(("not", "$NOT"))] = drawn_where(random, depth - 1)
        else:
            parts = [drawn_where(random, depth - 1) for _ in range(random.randint(1, 3))]
            where[random.choice(("and", "$or", "OR"))] = parts
    return where


def on_path(random: Random) -> Any:
    operator = random.choice(("eq", "ne", "gt", "gte", "lt", "$lte", "in", "nin", "exists", "contains"))
    operand: Any = drawn_value(random)
    if operator in ("gt", "gte", "lt", "$lte"):
        operand = random.choice((*NUMBERS, *STRINGS))
    elif operator in ("in", "nin"):
        operand = [drawn_value(random) for _ in range(random.randrange(4))]
    elif operator == "exists":
        operand = random.random() < 0.5
    elif operator == "eq" and not isinstance(operand, dict) and random.random() < 0.5:
        return operand
    return {operator: operand}


def on_field(random: Random, name: str) -> Json:
    values: dict[str, tuple[Any, ...]] = {
        "created_at": ("2026-05-07T12:00:00Z", "2026-05-06T14:00:00+02:00", "2026-05-01T00:00:00.123456789Z"),
        "importance": (0, 0.3, 0.5, 1, 1.5, 2**63),
        "role": ("user", "assistant", "tool"),
        "name": ("Ida", "I", "Ä", "", "zz"),
        "conversation_id": ("c", "c/1", "c/"),
    }
    values["expires_at"] = tuple(each.replace("2026", "2126") for each in values["created_at"])
    choices = values.get(name, ("ada", "bo", "helper", "crm-1", "crm-50", "a"))
    operators = ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists"]
    operator = random.choice(
        operators + (["contains"] if name not in ("created_at", "expires_at", "importance") else [])
    )
    if operator == "exists":
        return {operator: random.random() < 0.5}
    if operator in ("in", "nin"):
        return {operator: random.sample((None, *choices), random.randrange(3))}
    return {operator: random.choice((None, *choices) if operator in ("eq", "ne") else choices)}


def meets(where: Json, stored: Json) -> bool:
    """`docs/filters.md`, read aloud."""
    return all(entry_holds(key, value, stored) for key, value in where.items())


def entry_holds(key: str, value: Any, stored: Json) -> bool:
    word = key.removeprefix("$").lower()
    if word == "not":
        return not meets(value, stored)
    if word == "and":
        return all(meets(part, stored) for part in value)
    if word == "or":
        return any(meets(part, stored) for part in value)
    operators = value if isinstance(value, dict) else {"eq": value}
    said = value_at(key, stored)
    return all(COMPARISONS[name.removeprefix("$")](said, operand) for name, operand in operators.items())


def value_at(key: str, stored: Json) -> Any:
    if key == "importance":
        override = stored["importance_override"]
        value = stored["importance"] if override is None else override
        return ABSENT if value is None else value
    if key in FIELDS:
        value = stored[key]
        return ABSENT if value is None else value.isoformat() if isinstance(value, datetime) else value
    value = stored["metadata"]
    for each in key.removeprefix("metadata.").replace(r"\.", "\0").split("."):
        value = value.get(each.replace("\0", "."), ABSENT) if isinstance(value, dict) else ABSENT
    return value


def equals(said: Any, operand: Any) -> bool:
    return same(None if said is ABSENT else said, operand)


def has(said: Any, operand: Any) -> bool:
    if isinstance(said, list):
        return any(same(each, operand) for each in said)
    return isinstance(said, str) and isinstance(operand, str) and operand in said


def order_of(said: Any, operand: Any) -> int | None:
    """Return -1, 0 or 1 as `said` is less, equal or more; None: they have no order."""
    if time_of(said) is not None and time_of(operand) is not None:
        said, operand = time_of(said), time_of(operand)
    elif not (is_number(said) and is_number(operand)) and not (isinstance(said, str) and isinstance(operand, str)):
        return None
    return int(said > operand) - int(said < operand)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": equals,
    "ne": lambda said, operand: not equals(said, operand),
    "in": lambda said, operand: any(equals(said, each) for each in operand),
    "nin": lambda said, operand: not any(equals(said, each) for each in operand),
    "exists": lambda said, operand: (said is not ABSENT) == operand,
    "contains": has,
    "gt": lambda said, operand: order_of(said, operand) == 1,
    "gte": lambda said, operand: order_of(said, operand) in (0, 1),
    "lt": lambda said, operand: order_of(said, operand) == -1,
    "lte": lambda said, operand: order_of(said, operand) in (0, -1),
}


def time_of(value: Any) -> datetime | None:
    """Return the instant that a string of the lists above says."""
    if not isinstance(value, str):
        return None
    known = {
        "2026-05-07 12:00:00.0000001Z": "2026-05-07T12:00:00+00:00",
        "2026-05-01T00:00:00.123456789Z": "2026-05-01T00:00:00.123456+00:00",
        "2024-02-29T23:59+05": "2024-02-29T23:59:00+05:00",
    }
    try:
        when = datetime.fromisoformat(known.get(value, value.replace("Z", "+00:00")))
    except ValueError:
        return None
    return when if when.tzinfo else None


def same(one: Any, other: Any) -> bool:
    if time_of(one) is not None and time_of(other) is not None:
        return time_of(one) == time_of(other)
    return json.dumps(plain(one), sort_keys=True) == json.dumps(plain(other), sort_keys=True)


def plain(value: Any) -> Any:
    """Return a value in which numbers that are equal are written alike."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.fixture
async def replica(database_url: str, settings: Settings) -> AsyncIterator[Replica]:
    async with replicas(database_url, settings, ROOMY) as (each,):
        yield each


async def in_memory(index: TenantIndex, asked: SearchRequest) -> set[UUID]:
    mask = passing(index, asked, NOW - timedelta(days=1))
    return {index.id_of(slot) for slot in mask.nonzero()[0].tolist()}


async def test_sql_and_memory_and_the_documentation_agree(
    database_url: str, settings: Settings, replica: Replica
) -> None:
    random = Random(7)
    messages = [drawn_message(random, number) for number in range(MESSAGES)]
    async with connected(database_url) as (writer,):
        await writer.executemany(
            STORE,
            [
                [orjson.dumps(each["metadata"]).decode() if name == "metadata" else each[name] for name in _COLUMNS]
                for each in messages
            ],
        )
    index = await replica.index()
    assert index is not None
    repository = MessageRepository(replica.database, message_analyzer(replica.database, settings.search))
    met = set()
    for case in range(CASES):
        where = drawn_where(random)
        in_sql = await repository.page(MessageListing(tenant_id="acme", where=json.dumps(where)), 1_000, None)
        expected = {each["id"] for each in messages if meets(where, each)}
        said = f"case {case}: {json.dumps(where)}"
        assert {each.id for each in in_sql} == expected, said
        assert await in_memory(index, SearchRequest(tenant_id="acme", query="x", where=where)) == expected, said
        met.add(len(expected))
    # Not all of them meet nothing, or everything.
    assert len(met) > MESSAGES // 4


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"priority": {"gte": 4}}, "456"),
        ({"priority": {"$in": [1, 2]}}, "12"),
        ({"tag": {"ne": "a"}}, "135"),
        ({"OR": [{"priority": 1}, {"metadata.priority": 6}]}, "16"),
        ({"done": {"exists": False}}, "12346"),
        ({"not": {"priority": {"gt": 2, "lt": 6}}, "role": "user"}, "126"),
    ],
)
async def test_every_door_takes_a_where(service: Service, where: Json, expected: str) -> None:
    await store_many(service, [message(f"note {n}", metadata=noted(n)) for n in range(1, 7)])
    as_json = {"tenant_id": "acme", "where": json.dumps(where)}
    context = {"tenant_id": "acme", "conversation_id": "new", "query": "note", "where": where}

    answers = [
        await service.client.get("/v1/messages", params=as_json),
        await service.client.get("/v1/memory/search", params=as_json | {"query": "note"}),
        await service.client.post("/v1/memory/search", json={"tenant_id": "acme", "query": "note", "where": where}),
        await service.client.post("/v1/memory/context", json=context),
    ]

    assert [answer.status_code for answer in answers] == [200] * 4
    for answer in answers:
        assert "".join(sorted(each["content"][-1] for each in answer.json()["items"])) == expected


def noted(number: int) -> Json:
    return {"priority": number, "tag": "ab"[number % 2], **({"done": True} if number == 5 else {})}


WRONG: list[tuple[Any, str]] = [
    ([], "must be an object"),
    ("x", "must be an object"),
    ({"priority": {"gtee": 4}}, "where.priority.gtee is not an operator"),
    ({"priority": {}}, "names no operator"),
    ({"gte": 4}, "where.gte stands where a field is expected"),
    ({"$nor": [{"a": 1}]}, "where.$nor stands where a field is expected"),
    ({"content": "x"}, "a key of the metadata is written metadata.content"),
    ({"metadata": {"a": 1}}, "a key of the metadata is written metadata.KEY"),
    ({"a..b": 1}, "where.a..b is not a path"),
    ({"or": []}, "where.or must be a list of at least one object"),
    ({"or": {"a": 1}}, "where.or must be a list"),
    ({"or": [{"a": 1}, 2]}, "where.or[1] must be an object"),
    ({"not": [{"a": 1}]}, "where.not must be an object"),
    ({"a": {"gt": None}}, "where.a.gt must be a number or a string"),
    ({"a": {"gt": True}}, "where.a.gt must be a number or a string"),
    ({"a": {"in": 1}}, "where.a.in must be a list"),
    ({"a": {"exists": 1}}, "where.a.exists must be true or false"),
    ({"role": "robot"}, "where.role must be one of user"),
    ({"role": {"in": ["user", 1]}}, "where.role.in[1] must be a string"),
    ({"user_id": {"contains": None}}, "where.user_id.contains must be a string"),
    ({"created_at": {"gt": "2026-05-07"}}, "where.created_at.gt must be a time with an offset"),
    ({"created_at": {"contains": "2026"}}, "contains is for lists and strings"),
    ({"importance": "high"}, "where.importance must be a number"),
    ({"a": {"eq": "\0"}}, "must not hold the character NUL"),
    ({"a": 2**70}, "integers of 64 bits"),
    ({f"k{n}": n for n in range(101)}, "more than 100 conditions"),
    (json.loads('{"not": ' * 9 + '{"a": 1}' + "}" * 9), "nested deeper than 8 levels"),
    (json.loads('{"a": {"eq": ' + "[" * 40 + "]" * 40 + "}}"), "nested deeper than 32 levels"),
    ({"a": "x" * 17_000}, "larger than 16384 bytes"),
]


@pytest.mark.parametrize(("where", "reason"), WRONG)
async def test_what_nothing_could_meet_is_refused_with_a_reason(service: Service, where: Any, reason: str) -> None:
    body = {"tenant_id": "acme", "query": "x", "where": where}

    in_body = await service.client.post("/v1/memory/search", json=body)
    in_query = await service.client.get("/v1/messages", params={"tenant_id": "acme", "where": json.dumps(where)})

    for answer in (in_body, in_query):
        assert answer.status_code == 422
        (detail,) = answer.json()["error"]["details"]
        assert detail["location"][-1] == "where"
        assert reason in detail["message"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"priority": {"gte": 4}},
        {"priority": {"$gte": 4}},
        {"priority": {"in": [1, 2]}},
        {"OR": [{"priority": 1}]},
        {"done": {"exists": False}},
        {"a": [{"b": {"ne": 1}}]},
        {"a": {"$regex": "x"}},
    ],
)
async def test_operators_are_no_metadata(service: Service, metadata: Json) -> None:
    answers = [
        await service.client.post("/v1/memory/search", json={"tenant_id": "acme", "query": "x", "metadata": metadata}),
        await service.client.post(
            "/v1/memory/context", json={"tenant_id": "acme", "conversation_id": "c", "metadata": metadata}
        ),
        await service.client.get("/v1/messages", params={"tenant_id": "acme", "metadata": json.dumps(metadata)}),
    ]

    for answer in answers:
        assert answer.status_code == 422
        assert "use `where`" in answer.json()["error"]["details"][0]["message"]


async def test_a_key_that_is_named_like_an_operator_is_metadata_beside_others(service: Service) -> None:
    await store_many(service, [message("note 1", metadata={"range": {"in": 1, "out": 2}}), message("note 2")])

    assert await found(service, "note", metadata={"range": {"in": 1, "out": 2}}) == ["note 1"]
    assert await found(service, "note", where={"range.in": 1}) == ["note 1"]
