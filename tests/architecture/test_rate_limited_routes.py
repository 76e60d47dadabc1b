"""No route forgets the tenants' rate limit: the class of the route counts them, and the types that hold one tell it."""

from typing import Any

from fastapi.routing import APIRoute

from serve_app.edge.rate_limits import TenantLimited
from serve_app.routes import admin, conversations, keys, memory, messages
from tests.architecture.test_openapi import app


def routes_of(router: Any) -> list[APIRoute]:
    """All routes of ours, those of included routers among them."""
    found: list[Any] = []
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        found += routes_of(inner) if inner is not None else [route]
    return [route for route in found if isinstance(route, APIRoute)]


def test_every_route_counts_the_tenants_that_it_is_asked_for() -> None:
    routes = [route for route in routes_of(app()) if route.path.startswith("/v1")]

    assert len(routes) >= sum(
        len(resource.router.routes) for resource in (admin, conversations, keys, memory, messages)
    )
    assert [route.path for route in routes if not isinstance(route, TenantLimited)] == []
