"""New names hold no control characters; what was stored under such names before stays readable and deletable."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from deployments.schemas.messages import Identifier
from deployments.schemas.name_characters import in_one_line
from deployments.schemas.transfer import MovedMessage
from tests.integration.calls import error_of, message, store
from tests.integration.service import Service

REFUSED = ["a\nb", "a\n", "\ra", "a\tb", "a\x1bb", "a\x7f", "a\x85b", "a\u2028b", "a\u2029", "a\u202eb"]
TAKEN = ["a/b", "x/retention", "Zoë", "山田", "a b", "שלום\u200f", "\u2068Ali\u2069", "a\u00a0b", "👩‍👩‍👧"]
FIELDS = ["tenant_id", "conversation_id", "name", "user_id", "agent_id", "external_id"]
OLD = "old\nname\u2028"


@pytest.mark.parametrize("field", FIELDS)
async def test_a_new_name_with_a_control_character_is_refused(field: str, service: Service) -> None:
    for name in REFUSED:
        answer = await service.client.post("/v1/messages", json=message(**{field: name}))
        assert (answer.status_code, error_of(answer)["code"]) == (422, "validation_error"), repr(name)
        assert error_of(answer)["details"][0]["location"][-1] == field
    for name in TAKEN:
        assert (await store(service, **{field: name}))[field] == name


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/admin/keys", {"name": "a\nb", "scopes": ["read"]}),
        ("POST", "/v1/admin/keys", {"name": "a", "tenant_id": "a\nb", "scopes": ["read"]}),
        ("PUT", "/v1/admin/retention/policy?tenant_id=a%0Ab", {"max_age_days": 1}),
        ("PUT", "/v1/admin/tenants/a%0Ab/retention", {"max_age_days": 1}),
        ("PUT", "/v1/admin/languages/a%0Ab", {"language": "de"}),
    ],
)
async def test_nothing_else_is_made_under_such_a_name(method: str, path: str, body: object, service: Service) -> None:
    assert (await service.client.request(method, path, json=body)).status_code == 422


async def test_a_change_gives_no_such_name(service: Service) -> None:
    stored = await store(service)

    answer = await service.client.patch(f"/v1/messages/{stored['id']}", json={"name": "a\nb"})

    assert answer.status_code == 422


async def make_old(service: Service) -> None:
    """Store a message, and give it the names that a former release let it have."""
    await store(service, "The ferry leaves at nine", tenant_id="old", conversation_id="old")
    await service.embed_all()
    async with service.database.connection() as connection:
        await connection.execute("UPDATE messages SET tenant_id = $1, conversation_id = $1", OLD)


async def test_what_is_stored_under_such_a_name_is_read_and_deleted(service: Service) -> None:
    await make_old(service)
    old: dict[str, Any] = {"tenant_id": OLD, "conversation_id": OLD}
    client = service.client

    listed = await client.get("/v1/messages", params=old)
    found = await client.get("/v1/memory/search", params={**old, "query": "ferry"})
    context = await client.post("/v1/memory/context", json={**old, "query": "ferry"})
    conversation = "/v1/conversations/old%0Aname%E2%80%A8"

    assert [len(each.json()["items"]) for each in (listed, found, context)] == [1, 1, 1]
    assert (await client.get(conversation, params={"tenant_id": OLD})).json()["conversation_id"] == OLD
    assert (await client.delete(conversation, params={"tenant_id": OLD})).status_code == 204
    assert (await client.delete("/v1/admin/tenants", params={"tenant_id": OLD})).json()["tenant_id"] == OLD


def test_a_file_of_a_former_release_is_taken() -> None:
    moved = {**message(tenant_id=OLD, conversation_id=OLD, name=OLD), "id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10"}
    times = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}

    assert MovedMessage.model_validate({**moved, **times}).conversation_id == OLD


@given(st.text(min_size=1, max_size=20))
def test_a_name_is_judged_as_python_judges_its_lines(name: str) -> None:
    """What Python splits into lines, or holds for a control character, is no name."""
    try:
        TypeAdapter(Identifier).validate_python(name)
    except ValidationError:
        return
    assert in_one_line(name).splitlines() == [name]
    assert all(character.isprintable() or ord(character) > 0x9F for character in name)
