"""Keyrings with nothing behind them."""

from deployments.errors import UnauthorizedError
from serve_app.edge.keyring import ANYONE, Caller


class LetsAnyoneIn:
    """A keyring without a key."""

    async def caller(self, _: object) -> Caller:
        return ANYONE


class LetsNobodyIn:
    """A keyring whose key nobody has."""

    async def caller(self, _: object) -> Caller:
        raise UnauthorizedError("This service needs an API key.")
