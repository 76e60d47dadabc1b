"""`/docs` and `/redoc`, served whole from here: no network, and no foreign host that could run code in them."""

import base64
import hashlib
import re
from importlib.resources import as_file, files

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

ASSETS = "/docs/assets"
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def add_documentation(app: FastAPI) -> None:
    """Add both pages. They need the package `fastapi-offline` for its files; its own code is not used."""
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
    """Lets a page run its own scripts, inline ones by their hash. Both style inline, and ReDoc searches in a worker."""
    digests = [hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page)]
    hashes = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
