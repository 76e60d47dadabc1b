"""Paths that hold the name of a tenant or a conversation, which may hold slashes and look like a path of ours.

A slash that was sent as %2F belongs to the name, so that /v1/admin/tenants/a%2Fretention is the tenant `a/retention`
and not the policy of `a`. Servers decode `path`; `raw_path` is as it was sent.
"""

import re
from typing import Any
from urllib.parse import unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Match
from starlette.types import Scope

from serve_app.edge.rate_limits import TenantLimited

ENCODED_SLASH = re.compile("%2[fF]")
MISLEADING = re.compile("%(2[fF]|0[aA])")
# Halves of surrogate pairs stand for what a pattern is not to see: no decoded path holds any.
KEPT_SLASH, KEPT_NEWLINE = "\udc2f", "\udc0a"


class Name(Convertor[str]):
    """All that is left of a path, or all in front of an operation."""

    regex = ".+"

    def convert(self, value: str) -> str:
        """Return the name as it was meant."""
        return value.replace(KEPT_SLASH, "/").replace(KEPT_NEWLINE, "\n")

    def to_string(self, value: str) -> str:
        """Return the name as it is."""
        return value


register_url_convertor("name", Name())


class NamedRoute(TenantLimited):
    """A route whose path holds a name: `{tenant_id:name}`.

    A slash behind an operation is one too many; behind a name it belongs to the name.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the route answers a path, as it was sent."""
        path = _with_names_kept(scope)
        if not self.path.endswith("}"):
            path = path.removesuffix("/")
        return super().matches({**scope, "path": path})


def _with_names_kept(scope: Scope) -> str:
    raw: Any = scope.get("raw_path") or b""
    sent = raw.decode("latin-1")
    path: str = scope["path"]
    if MISLEADING.search(sent) is None:
        return path
    kept = KEPT_SLASH.join(unquote(part) for part in ENCODED_SLASH.split(sent))
    if kept.replace(KEPT_SLASH, "/") != path:
        # Somebody in between has changed one of them: nothing is decided by a guess.
        return ""
    return kept.replace("\n", KEPT_NEWLINE)
