"""`/docs` and `/redoc`, served from local files: no network access, and no foreign host that could inject scripts."""

import base64
import hashlib
import re
from importlib.resources import as_file, files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

ASSETS = "/docs/assets"
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


# Examples by parameter name, so that `/docs` pre-fills them on every route.
_ID = "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10"
PARAMETER_EXAMPLES = {
    "tenant_id": "acme",
    "conversation_id": "conv-1",
    "message_id": _ID,
    "fact_id": _ID,
    "source_id": _ID,
    "subject": "Ada",
    "as_of": "2026-11-30T12:00:00Z",
    "kinds": ["fact"],
    "key_id": _ID,
    "run_id": _ID,
    "conversation_prefix": "ada/travel",
    "user_id": "ada",
    "agent_id": "concierge",
    "external_id": "crm-4711",
    "name": "Ada",
    "metadata": '{"channel": "web"}',
    "where": '{"priority": {"gte": 4}}',
    "order": "asc",
    "role": "user",
    "query": "Which language does Ada like?",
    "min_importance": 0.35,
    "created_after": "2026-11-01T00:00:00Z",
    "created_before": "2026-12-01T00:00:00Z",
    "Idempotency-Key": "store-4711",
    "If-Match": '"3-64b1f0"',
    "If-None-Match": "*",
    "If-Unmodified-Since": "Mon, 23 Nov 2026 09:30:00 GMT",
}


def add_parameter_examples(app: FastAPI) -> None:
    """Add realistic examples to the parameters in the OpenAPI document."""
    document = app.openapi

    def with_examples() -> dict[str, Any]:
        specification = document()
        for operation in (each for path in specification["paths"].values() for each in path.values()):
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in PARAMETER_EXAMPLES:
                    parameter["example"] = PARAMETER_EXAMPLES[parameter["name"]]
                    parameter["schema"].pop("examples", None)
        return specification

    app.openapi = with_examples  # type: ignore[method-assign]


def add_documentation(app: FastAPI) -> None:
    """Add both pages. Only the static files of the package `fastapi-offline` are used, not its code."""
    with as_file(files("fastapi_offline") / "static") as directory:
        app.mount(ASSETS, StaticFiles(directory=directory), name="documentation-assets")
    openapi, icon = f"{app.openapi_url}", f"{ASSETS}/favicon.png"
    swagger = get_swagger_ui_html(
        openapi_url=openapi,
        title=app.title,
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=icon,
    )
    redoc = get_redoc_html(
        openapi_url=openapi,
        title=app.title,
        redoc_js_url=f"{ASSETS}/redoc.standalone.js",
        redoc_favicon_url=icon,
        with_google_fonts=False,
    )
    _add_page(app, "/docs", swagger)
    _add_page(app, "/redoc", redoc)


def _add_page(app: FastAPI, path: str, page: HTMLResponse) -> None:
    page.headers["Content-Security-Policy"] = _policy(bytes(page.body))

    async def show() -> HTMLResponse:
        return page

    app.get(path, include_in_schema=False)(show)


def _policy(page: bytes) -> str:
    """Return a policy that allows a page's own inline scripts, by hash. Both need inline styles, ReDoc a worker too."""
    digests = [hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page)]
    hashes = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
