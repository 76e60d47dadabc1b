"""Paths with the name of a tenant or conversation, which may contain slashes and look like another path.

A slash that was sent as %2F belongs to the name: /v1/admin/tenants/a%2Fretention is the tenant `a/retention` and not
the policy of `a`. Servers decode `path`; `raw_path` is as it was sent.
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
# Lone surrogates replace what a pattern must not match: no decoded path contains any.
KEPT_SLASH, KEPT_NEWLINE = "\udc2f", "\udc0a"


class Name(Convertor[str]):
    """A path parameter that matches the rest of the path, or everything before an operation."""

    regex = ".+"

    def convert(self, value: str) -> str:
        """Return the decoded name."""
        return value.replace(KEPT_SLASH, "/").replace(KEPT_NEWLINE, "\n")

    def to_string(self, value: str) -> str:
        """Return the name unchanged."""
        return value


register_url_convertor("name", Name())


class NamedRoute(TenantLimited):
    """A route whose path contains a name: `{tenant_id:name}`.

    A trailing slash after an operation is redundant; after a name it belongs to the name.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the route matches the path as it was sent."""
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
        # Some middleware has changed one of the two: do not guess.
        return ""
    return kept.replace("\n", KEPT_NEWLINE)
