"""Finds the route of a request before the router runs."""

from collections.abc import Iterator

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match
from starlette.types import Scope


def matching_routes(app: FastAPI, scope: Scope) -> Iterator[tuple[Match, BaseRoute]]:
    """Yield the routes that match the request's path, in order, fully or with another method."""
    for included in app.routes:
        # FastAPI keeps the routes of an included router inside of one entry.
        for route in getattr(getattr(included, "original_router", None), "routes", [included]):
            match, _ = route.matches(scope)
            if match is not Match.NONE:
                yield match, route


def template_of(app: FastAPI, scope: Scope) -> str | None:
    """Return the template of the route that matches the request, or else its path alone; None without a match."""
    templates: dict[Match, str] = {}
    for match, route in matching_routes(app, scope):
        templates.setdefault(match, getattr(route, "path_format", ""))
    return templates.get(Match.FULL) or templates.get(Match.PARTIAL) or None
