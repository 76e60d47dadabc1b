"""A tenant or a conversation whose name looks like a path of ours reaches no other operation."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.calls import error_of, message
from tests.integration.service import Service

Json = dict[str, Any]
OPERATIONS = ("retention", "usage", "erasure")
POLICY = "/v1/admin/retention/policy"
# What a name may end like, or hold: our own words and what separates them.
PARTS = st.sampled_from(["x", *OPERATIONS, "retention/policy", "/", "//", "%2F", "%", "?", "#", "..", " ", "ü", ";"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("".join).filter(lambda name: name.strip())


async def put_policy(service: Service, tenant_id: str) -> None:
    answer = await service.client.put(POLICY, params={"tenant_id": tenant_id}, json={"max_age_days": 400})
    assert answer.json()["tenant_id"] == tenant_id, answer.text


async def has_policy(service: Service, tenant_id: str) -> bool:
    answer = await service.client.get(POLICY, params={"tenant_id": tenant_id})
    return bool(answer.json()["own"])


async def erase(service: Service, path: str, **options: Any) -> Json:
    answer = await service.client.delete(f"/v1/admin/tenants{path}", **options)
    assert answer.status_code == 200, answer.text
    receipt: Json = answer.json()
    return receipt


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("slash", ["%2F", "%2f"])
async def test_an_encoded_slash_belongs_to_the_name(slash: str, operation: str, service: Service) -> None:
    await put_policy(service, "x")
    await service.client.post("/v1/messages", json=message(tenant_id=f"x/{operation}"))

    receipt = await erase(service, f"/x{slash}{operation}")

    assert (receipt["tenant_id"], receipt["messages"]) == (f"x/{operation}", 1)
    assert await has_policy(service, "x")


@pytest.mark.parametrize("slash", ["%2F", "%2f"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_name_that_ends_like_an_operation_has_no_other_method(
    method: str, slash: str, service: Service
) -> None:
    answer = await service.client.request(method, f"/v1/admin/tenants/x{slash}retention", json={})

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "DELETE, OPTIONS"


@pytest.mark.parametrize("end", ["%0A", "%0a"])
async def test_a_line_break_at_the_end_is_not_passed_over(end: str, service: Service) -> None:
    await put_policy(service, "x")
    await service.client.post("/v1/messages", json=message(tenant_id="x"))

    assert (await erase(service, f"/x{end}"))["messages"] == 0
    assert (await service.client.delete(f"/v1/admin/tenants/x/retention{end}")).status_code == 200
    assert await has_policy(service, "x")


async def test_the_old_paths_still_answer(service: Service) -> None:
    await put_policy(service, "a/b")

    for path in ("a/b/retention", "a%2Fb/retention", "a/b/retention/"):
        answer = await service.client.get(f"/v1/admin/tenants/{path}")
        assert answer.json()["own"]["max_age_days"] == 400, path
    assert (await service.client.delete("/v1/admin/tenants/a/b/retention")).status_code == 204
    assert not await has_policy(service, "a/b")


@given(NAMES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_name_reaches_its_own_tenant_alone(service: Service, name: str) -> None:
    """By the query, and by the path where each reserved character is encoded."""
    own = f"t{name}"
    by_path = quote(own, safe="")
    asked: list[httpx.Response] = [
        await service.client.get("/v1/admin/usage", params={"tenant_id": own}),
        await service.client.get(f"/v1/admin/tenants/{by_path}/usage"),
        await service.client.get(f"/v1/admin/languages/{by_path}"),
        await service.client.get(POLICY, params={"tenant_id": own}),
        await service.client.get(f"/v1/admin/tenants/{by_path}/retention"),
        await service.client.delete(f"/v1/admin/tenants/{by_path}"),
        await service.client.delete("/v1/admin/tenants", params={"tenant_id": own}),
    ]

    assert [(each.status_code, each.json().get("tenant_id")) for each in asked] == [(200, own)] * len(asked)


@pytest.mark.parametrize("name", ["a/b/c", "a/", "/a", "x/retention", "a%2Fb", "a?b#c", "messages"])
async def test_a_conversations_name_is_all_of_the_path(name: str, service: Service) -> None:
    await service.client.post("/v1/messages", json=message(conversation_id=name))
    path = f"/v1/conversations/{quote(name, safe='')}?tenant_id=acme"

    assert (await service.client.get(path)).json()["conversation_id"] == name
    assert (await service.client.delete(path)).status_code == 204
    assert (await service.client.get(path)).status_code == 404


async def test_no_name_is_the_listing(service: Service) -> None:
    answer = await service.client.get("/v1/conversations/?tenant_id=acme")

    assert answer.json() == {"items": [], "next_cursor": None}


async def test_erasing_wants_a_name(service: Service) -> None:
    for path in ("/v1/admin/tenants", "/v1/admin/tenants/"):
        answer = await service.client.delete(path)
        assert (answer.status_code, error_of(answer)["code"]) == (422, "validation_error")
