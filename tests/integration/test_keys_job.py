"""`python -m jobs.keys`: how the first key is made."""

import json
from uuid import uuid4

import pytest

from deployments.schemas.api_key_format import prefix_of
from deployments.settings import Settings
from deployments.storage.postgres.schema import keys_were_made
from jobs.keys import main


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What it prints when it succeeds."""
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_a_key_is_made_listed_and_revoked(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert not keys_were_made(settings)
    key = run("create", "--name", "first", capsys=capsys).strip()
    run("create", "--name", "web", "--tenant", "acme", "--scopes", "read", "--rate-limit", "5/day", capsys=capsys)
    bound = ("--tenant", "acme", "--user", "ada", "--scopes", "read,write")
    run("create", "--name", "ada's", *bound, capsys=capsys)
    run("create", "--name", "short", "--scopes", "admin", "--expires-in-days", "1", capsys=capsys)

    listed = [json.loads(line) for line in run("list", capsys=capsys).splitlines()]

    shown = ("name", "tenant_id", "user_id", "scopes", "rate_limit")
    assert [tuple(each[name] for name in shown) for each in listed] == [
        ("short", None, None, ["admin"], None),
        ("ada's", "acme", "ada", ["read", "write"], None),
        ("web", "acme", None, ["read"], "5/day"),
        ("first", None, None, ["read", "write", "admin"], None),
    ]
    assert [each["expires_at"] is None for each in listed] == [False, True, True, True]
    assert listed[3]["prefix"] == prefix_of(key)
    assert key not in str(listed)
    run("revoke", listed[3]["id"], capsys=capsys)
    assert json.loads(run("list", capsys=capsys).splitlines()[3])["revoked_at"] is not None
    assert keys_were_made(settings)


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    "options",
    [
        ["--scopes", "fly"],
        ["--scopes", ""],
        ["--expires-in-days", "-1"],
        ["--expires-in-days", "1e99"],
        ["--tenant", " "],
        ["--rate-limit", "often"],
        ["--user", "ada", "--scopes", "read"],
        ["--user", "ada", "--tenant", "acme"],
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["create", "--name", "first", *options]) == 2

    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.usefixtures("settings")
def test_a_key_that_does_not_exist_cannot_be_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["revoke", str(uuid4())]) == 1

    assert capsys.readouterr().err == "error: There is no such key.\n"
