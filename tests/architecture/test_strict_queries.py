"""No route that reads or deletes ignores a parameter: a misspelt filter would be answered with too much."""

import httpx
import pytest
from fastapi.routing import APIRoute

from serve_app.api import create_app
from serve_app.strict_route import STRICT_METHODS, StrictRoute
from tests.architecture.test_rate_limited_routes import routes_of
from tests.bare_services import bare_services
from tests.unit.keyrings import LetsAnyoneIn

APP = create_app(bare_services(keyring=LetsAnyoneIn()))
STRICT = [
    pytest.param(route, method, id=f"{method} {route.path}")
    for route in routes_of(APP)
    if route.path.startswith("/v1")
    for method in sorted(STRICT_METHODS & (route.methods or set()))
]


@pytest.mark.parametrize(("route", "method"), STRICT)
async def test_a_parameter_that_is_not_known_is_refused(route: APIRoute, method: str) -> None:
    path = route.path_format.replace("{", "").replace("}", "")
    transport = httpx.ASGITransport(APP, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        answer = await client.request(method, path, params={"tenant_id": "acme", "query": "x", "conversationId": "c1"})

    assert isinstance(route, StrictRoute)
    assert answer.status_code == 422
    assert ["query", "conversationId"] in [each["location"] for each in answer.json()["error"]["details"]]


def test_some_routes_are_looked_at() -> None:
    assert len(STRICT) >= 15
