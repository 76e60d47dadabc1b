"""ETag and Last-Modified of messages and facts, and the conditional headers of changes."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError

from deployments.schemas.facts import Fact
from deployments.schemas.messages import Message
from deployments.storage.messages.preconditions import Precondition, entity_tag
from serve_app.edge.json_response import json_response

# RFC 9110, sections 8.8.3 and 13.1.1.
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = rf"[ \t,]*{_TAG}(?:[ \t]*,(?:[ \t]*{_TAG})?)*[ \t]*"
_IF_MATCH = re.compile(rf"\s*\*\s*|{_LIST}")
_TAGS = re.compile(_TAG)
# RFC 9110, section 5.6.7: the format that is sent, and two obsolete ones that must be accepted.
_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")

_DESCRIPTION = 'A tag of this version, for `If-Match`: it changes with every change by a caller, such as `"3-64b1f0"`.'
TAGGED: dict[str, Any] = {
    "headers": {"ETag": {"description": _DESCRIPTION, "schema": {"type": "string"}, "required": True}}
}


def tag_header(stored: Message | Fact) -> dict[str, str]:
    """Return the ETag header of the stored version."""
    return {"ETag": f'"{entity_tag(stored.version, stored.updated_at)}"'}


def tagged_response(stored: Message | Fact, status: int = 200) -> Response:
    """Return a message or a fact as a response with its ETag and Last-Modified."""
    modified = format_datetime(stored.updated_at.astimezone(UTC), usegmt=True)
    return json_response(stored, status, {**tag_header(stored), "Last-Modified": modified})


async def _if_unchanged(
    request: Request,
    _if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            description="Do it only if the stored `ETag`, or `version` in quotes, is one of these; else 412.",
            json_schema_extra={"pattern": f"^{_IF_MATCH.pattern}$"},
        ),
    ] = None,
    _if_unmodified_since: Annotated[
        str | None,
        Header(
            alias="If-Unmodified-Since",
            description="Do it only if nobody has changed it since this HTTP date; else 412. Exact to a second.",
        ),
    ] = None,
) -> Precondition | None:
    """Return the precondition of `If-Match`, or else of `If-Unmodified-Since`; None without either."""
    if given := request.headers.getlist("If-Match"):
        return Precondition(tags=_tags(", ".join(given)))
    since = request.headers.get("If-Unmodified-Since")
    return None if since is None else Precondition(unmodified_since=_date(since))


def _tags(header: str) -> frozenset[str] | None:
    """Return the unquoted tags of a list, or None for `*`. Weak tags are omitted, since they never match."""
    if not _IF_MATCH.fullmatch(header):
        raise _invalid("If-Match", 'must be * or a list of entity tags in quotes, such as "3-64b1f0"')
    if header.strip() == "*":
        return None
    return frozenset(tag[1:-1] for tag in _TAGS.findall(header) if not tag.startswith("W/"))


def _date(header: str) -> datetime:
    """Return the time. RFC 9110 ignores invalid dates, but then a change could overwrite a newer version: raise."""
    for form in _DATES:
        with suppress(ValueError):
            return datetime.strptime(header.strip(), form).replace(tzinfo=UTC)
    raise _invalid("If-Unmodified-Since", "must be an HTTP date, such as Sat, 28 Nov 2026 09:30:00 GMT")


def _invalid(name: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("header", name), "msg": message}])


IfUnchanged = Annotated[Precondition | None, Depends(_if_unchanged)]
