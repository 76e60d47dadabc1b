"""Which route a request is for, where the router has not been asked yet."""

from collections.abc import Iterator

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match
from starlette.types import Scope


def matching_routes(app: FastAPI, scope: Scope) -> Iterator[tuple[Match, BaseRoute]]:
    """The routes of the request's path, in order: in full, or with another method."""
    for included in app.routes:
        # FastAPI keeps the routes of a router that was included inside of an entry of its own.
        for route in getattr(getattr(included, "original_router", None), "routes", [included]):
            match, _ = route.matches(scope)
            if match is not Match.NONE:
                yield match, route


def template_of(app: FastAPI, scope: Scope) -> str | None:
    """The template of the route that would take the request, or of its path with another method; None: of no route."""
    templates: dict[Match, str] = {}
    for match, route in matching_routes(app, scope):
        templates.setdefault(match, getattr(route, "path_format", ""))
    return templates.get(Match.FULL) or templates.get(Match.PARTIAL) or None
