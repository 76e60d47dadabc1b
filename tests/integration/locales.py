"""Databases of three locales in one embedded Postgres server: C, C.UTF-8 and en_US.UTF-8."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from deployments.storage.postgres.embedded import stop
from tests.integration.postgres import PostgresServer, fast_directory
from tests.paths import ROOT

LOCALES = ("C", "C.UTF-8", "en_US.UTF-8")
_COMPILED = ROOT / ".tools" / "locale"


class LocaleServer:
    """An embedded server that creates migrated databases of a given locale."""

    def __init__(self, directory: Path) -> None:
        """Start the server. `directory` is for its files."""
        self._notice = _compile_locale()
        with pytest.MonkeyPatch.context() as environment:
            # The server passes it on to its backends. glibc falls back to the machine's own locales.
            environment.setenv("LOCPATH", str(_COMPILED))
            self._server = PostgresServer(directory)
        self._templates: dict[str, str] = {}

    def create(self, locale: str) -> str:
        """Return the URL of a new migrated database. Skip the test if the machine cannot have the locale."""
        if locale not in self._templates:
            self._templates[locale] = self._create_template(locale)
        return self._server.create(self._templates[locale])

    def drop(self, url: str) -> None:
        """Drop a database. Its open connections are closed."""
        self._server.drop(url)

    def _create_template(self, locale: str) -> str:
        name = f"migrated_{len(self._templates)}"
        # The provider libc applies the locale to lower(), regular expressions and the text search parser. With the
        # provider builtin, the embedded server's default, LC_CTYPE applies to the parser alone.
        try:
            self._server.execute(
                f"CREATE DATABASE {name} TEMPLATE template0 ENCODING UTF8 STRATEGY FILE_COPY"
                f" LOCALE_PROVIDER libc LC_COLLATE '{locale}' LC_CTYPE '{locale}'"
            )
        except asyncpg.WrongObjectTypeError as error:
            if locale == "en_US.UTF-8" and self._notice:
                pytest.skip(self._notice)
            raise AssertionError(f"Postgres does not know the locale {locale}: {error}") from error
        self._server.migrate(name)
        return name


@contextmanager
def locale_server() -> Iterator[LocaleServer]:
    """Run a server, and stop it at the end, also if it fails while starting."""
    with tempfile.TemporaryDirectory(prefix="ml-test-", dir=fast_directory()) as directory:
        try:
            yield LocaleServer(Path(directory))
        finally:
            stop(Path(directory))


def _compile_locale() -> str:
    """Compile en_US.UTF-8 where it is missing (3 s, once). Return why that is impossible, or ""."""
    return subprocess.run([ROOT / ".ci" / "locale.sh"], capture_output=True, text=True, check=True).stderr.strip()
