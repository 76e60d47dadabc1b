"""Errors while a connection is held: only those that show that Postgres is away become `DatabaseUnavailableError`."""

import errno
from typing import Any

import asyncpg
import pytest
from aiosql.adapters.asyncpg import AsyncPGAdapter
from structlog.testing import capture_logs

from deployments.errors import DatabaseUnavailableError, InvalidRequestError
from tests.integration.calls import error_of, message, store
from tests.integration.service import Service

CUT_OFF = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.DiskFullError("could not extend file"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_postgres_alone_raises_means_that_it_is_away(service: Service, error: Exception) -> None:
    with pytest.raises(DatabaseUnavailableError):
        async with service.database.connection():
            raise error


async def held_while_cut_off(service: Service, own: asyncpg.Connection) -> None:
    async with service.database.connection() as connection:
        await connection.fetchval("SELECT 1")
        await own.execute(CUT_OFF)
        while True:
            await connection.fetchval("SELECT 1")


async def test_a_connection_that_is_cut_while_it_is_held_means_that_postgres_is_away(service: Service) -> None:
    """The pool takes it back at once, so that asyncpg tells of a connection that was released."""
    own = await service.database.connect()
    try:
        with pytest.raises(DatabaseUnavailableError):
            await held_while_cut_off(service, own)
    finally:
        await own.close()


async def reset(service: Service) -> None:
    async with service.database.connection() as connection:
        connection.terminate()
        raise ConnectionResetError


async def test_a_reset_of_the_connection_means_that_postgres_is_away(service: Service) -> None:
    """As the transport raises it, once it has closed the connection."""
    with pytest.raises(DatabaseUnavailableError):
        await reset(service)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), TimeoutError()])
async def test_errors_of_the_block_pass(service: Service, error: OSError) -> None:
    with pytest.raises(type(error)) as raised:
        async with service.database.transaction():
            raise error

    assert raised.value is error
    assert service.database.usage().in_use == 0


@pytest.mark.parametrize(
    ("parameters", "error"),
    [((1,), asyncpg.InterfaceError), (("not a number", 2), asyncpg.DataError)],
    ids=["too few", "of the wrong type"],
)
async def test_a_mistake_of_ours_passes_as_it_is(
    service: Service, parameters: tuple[object, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        async with service.database.connection() as connection:
            await connection.fetchval("SELECT $1::int + $2::int", *parameters)

    assert service.database.usage().in_use == 0


async def test_what_postgres_cannot_hold_is_the_callers(service: Service) -> None:
    with pytest.raises(InvalidRequestError):
        async with service.database.connection() as connection:
            await connection.fetchval("SELECT $1::text::int", "not a number")


async def test_a_mistake_of_ours_is_an_error_in_the_log_and_no_503(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await store(service)
    given: Any = AsyncPGAdapter.maybe_order_params

    def one_too_many(*arguments: object) -> list[object]:
        return [*given(*arguments), 1]

    with monkeypatch.context() as mistaken, capture_logs() as lines:
        mistaken.setattr(AsyncPGAdapter, "maybe_order_params", one_too_many)
        answer = await service.client.get(f"/v1/messages/{stored['id']}")

    assert (answer.status_code, error_of(answer)["code"]) == (500, "internal_error")
    assert "Retry-After" not in answer.headers
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["unexpected_error"]
    assert (await service.client.post("/v1/messages", json=message())).status_code == 202
