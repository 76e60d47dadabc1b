"""Answers name one thing alike everywhere, with the old names beside for a release."""

from typing import Any

from tests.integration.calls import message, search, store
from tests.integration.retaining import finished_run
from tests.integration.service import Service

Json = dict[str, Any]


async def test_a_message_is_called_by_its_id_wherever_it_is_shown(service: Service) -> None:
    ids = [(await store(service, content))["id"] for content in ("Ana lives in Lisbon", "And Tom in Porto")]
    await service.embed_all()

    found = await search(service, "Lisbon", neighbors=1)
    context = (
        await service.client.post("/v1/memory/context", json={"tenant_id": "acme", "conversation_id": "c1"})
    ).json()
    shown = [*found["items"], *found["items"][0]["neighbors"], *context["items"]]

    assert len(shown) >= 5
    assert all(each["id"] == each["message_id"] and each["id"] in ids for each in shown)
    assert found["count"] == found["total"] == len(found["items"])


async def test_a_message_has_its_importance_by_one_name(service: Service) -> None:
    headers = {"Idempotency-Key": "k"}
    body = message(importance_override=0.4)
    first, again = [await service.client.post("/v1/messages", json=body, headers=headers) for _ in range(2)]
    batch = await service.client.post("/v1/messages/batch", json={"messages": [body]})
    listed = await service.client.get("/v1/messages", params={"tenant_id": "acme"})

    assert first.json() == again.json()
    shown = [first.json(), batch.json()["items"][0]["message"], *listed.json()["items"]]
    assert [(each["importance"], each["importance_score"]) for each in shown] == [(0.4, 0.4)] * 4


async def test_a_dry_run_says_what_it_would_do(service: Service) -> None:
    await store(service, created_at="2020-01-01T00:00:00Z", importance_override=0.0)
    await service.embed_all()
    shown: list[Json] = []
    for dry_run in (True, False):
        run_id = await finished_run(service.settings, tenant_id="acme", dry_run=dry_run, force=True)
        shown.append((await service.client.get(f"/v1/admin/retention/runs/{run_id}")).json())
        assert shown[-1]["id"] == shown[-1]["run_id"] == str(run_id)
    listed = (await service.client.get("/v1/admin/retention/runs")).json()["items"]

    plan, deed = shown
    assert (plan["would_archive"], plan["would_delete"], deed["archived"]) == (1, 0, 1)
    assert (deed["would_archive"], deed["would_delete"]) == (None, None)
    assert [each["would_archive"] for each in listed] == [None, 1]
    assert all(each["id"] == each["message_id"] for each in plan["samples"])
