"""Whatever is stored, put and deleted by name, one or many at once: it is as if a dictionary held it."""

from typing import TypeAlias
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.calls import message
from tests.integration.service import Service

NAMES, CONTENTS = ("a", "b", "c"), ("apple", "pear")
Named: TypeAlias = dict[str, str]
Step: TypeAlias = tuple[str, list[tuple[str, str]]]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["post", "put", "post batch", "put batch", "put new", "delete"]),
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(CONTENTS)), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=12,
)
FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def asked(service: Service, tenant_id: str, step: Step) -> list[int]:
    """Do a step; the status of each of its messages."""
    what, pairs = step
    bodies = [message(content, tenant_id=tenant_id, external_id=name) for name, content in pairs]
    method = "PUT" if what.startswith("put") else "POST"
    if what == "delete":
        body = {"tenant_id": tenant_id, "external_ids": [name for name, _ in pairs]}
        items = (await service.client.post("/v1/messages/delete", json=body)).json()["items"]
    elif what.endswith("batch"):
        answer = await service.client.request(method, "/v1/messages/batch", json={"messages": bodies})
        items = answer.json()["items"]
    else:
        headers = {"If-None-Match": "*"} if what == "put new" else {}
        answers = [await service.client.request(method, "/v1/messages", json=body, headers=headers) for body in bodies]
        return [answer.status_code for answer in answers]
    return [item["status"] for item in items]


def expected(held: Named, what: str, name: str, content: str) -> int:
    """Do the same to a dictionary; the status."""
    before = held.get(name)
    if what == "delete":
        return 200 if held.pop(name, None) else 404
    if what == "put new" and before:
        return 412
    if what.startswith("post") and before:
        return 202 if before == content else 409
    held[name] = content
    return 202 if what.startswith("post") else 200 if before else 201


@FEW
@given(steps=STEPS)
async def test_it_is_as_if_a_dictionary_held_it(service: Service, steps: list[Step]) -> None:
    tenant_id, held = uuid4().hex, Named()

    for step in steps:
        what, pairs = step
        assert await asked(service, tenant_id, step) == [expected(held, what, *pair) for pair in pairs], step

    got = await service.client.post("/v1/messages/get", json={"tenant_id": tenant_id, "external_ids": list(NAMES)})
    there = {item["message"]["external_id"]: item["message"] for item in got.json()["items"] if item["status"] == 200}
    listed = (await service.client.get("/v1/messages", params={"tenant_id": tenant_id})).json()["items"]
    assert {name: each["content"] for name, each in there.items()} == held
    assert sorted(each["id"] for each in listed) == sorted(each["id"] for each in there.values())
