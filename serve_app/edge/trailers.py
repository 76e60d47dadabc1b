"""Drops the trailers of a request."""

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class WithoutTrailers(HttpToolsProtocol):
    """Uvicorn's protocol without trailers: uvicorn appends them to the headers that the application holds.

    HAProxy forwards trailers unchanged (2.8 has no option to drop them) and its rules do not see them, so a client
    could override X-Forwarded-For, and Serve would echo any X-Request-ID in them.
    """

    def on_headers_complete(self) -> None:
        """Give the application a copy of the headers: trailers are appended to the original. The copy costs 0.1 us."""
        super().on_headers_complete()
        self.scope["headers"] = self.headers.copy()


def drop_trailers() -> None:
    """Make all servers that this process starts from now on drop trailers. Serve has no option to choose a protocol."""
    HTTP_PROTOCOLS["auto"] = f"{WithoutTrailers.__module__}:{WithoutTrailers.__name__}"
