"""No route that reads or deletes ignores a parameter: a misspelt filter would be answered with too much."""

import httpx
from fastapi.routing import APIRoute

from serve_app.api import create_app
from serve_app.edge.strict_route import STRICT_METHODS, StrictRoute
from tests.architecture.test_rate_limited_routes import routes_of
from tests.bare_services import bare_services
from tests.unit.keyrings import LetsAnyoneIn

APP = create_app(bare_services(keyring=LetsAnyoneIn()))
STRICT = [
    (route, method)
    for route in routes_of(APP)
    if route.path.startswith("/v1")
    for method in sorted(STRICT_METHODS & (route.methods or set()))
]


async def refuses(client: httpx.AsyncClient, route: APIRoute, method: str) -> bool:
    """Return whether a route names each parameter that it does not know, in a 422."""
    path = route.path_format.replace("{", "").replace("}", "")
    answer = await client.request(method, path, params={"tenant_id": "acme", "query": "x", "conversationId": "c1"})
    details = answer.json().get("error", {}).get("details", [])
    named = ["query", "conversationId"] in [each["location"] for each in details]
    return isinstance(route, StrictRoute) and answer.status_code == 422 and named


async def test_a_parameter_that_is_not_known_is_refused() -> None:
    transport = httpx.ASGITransport(APP, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        lax = [f"{method} {route.path}" for route, method in STRICT if not await refuses(client, route, method)]

    assert not lax, "\n".join(lax)


def test_some_routes_are_looked_at() -> None:
    assert len(STRICT) >= 15
