"""`python -m jobs.retention`: what is asked for on the command line, and how it ends."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from deployments.settings import Settings
from jobs.retention.command import main
from tests.integration.retaining import AGED

UNKNOWN = "01a20756-a5bb-76e2-b804-82284d01cdcf"


@pytest.fixture
def filled(settings: Settings) -> Settings:
    """Seven of acme's twenty messages are old and unimportant, and all of globex' two."""

    async def fill() -> None:
        assert settings.database.url is not None
        connection = await asyncpg.connect(settings.database.url.get_secret_value())
        for tenant_id, count, importance in (("acme", 7, 0.1), ("acme", 13, 0.9), ("globex", 2, 0.1)):
            await connection.fetch(AGED, tenant_id, count, 40, importance)
        await connection.close()

    asyncio.run(fill())
    return settings


def run(capsys: pytest.CaptureFixture[str], *options: str, status: int = 0) -> tuple[Any, str]:
    """What it prints, and what it complains of."""
    assert main(options) == status
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


@pytest.mark.usefixtures("filled")
def test_a_plan_is_made_applied_and_undone(capsys: pytest.CaptureFixture[str]) -> None:
    plan, complaints = run(capsys, "--dry-run", "--tenant", "acme")
    applied, _ = run(capsys, "--apply", plan["run_id"])
    undone, _ = run(capsys, "--undo", applied["run_id"])
    again, _ = run(capsys, "--resume", undone["run_id"])

    assert (plan["archived"], applied["archived"], undone["restored"]) == (7, 7, 7)
    assert {each["requested_by"] for each in (plan, applied, undone)} == {"job"}
    assert again == undone
    assert "planning: 20 of 20" in complaints


@pytest.mark.usefixtures("filled")
def test_too_much_of_a_tenant_is_told_and_left_alone_unless_forced(capsys: pytest.CaptureFixture[str]) -> None:
    done, complaints = run(capsys)
    assert (done["status"], done["archived"]) == ("completed", 7)
    assert "globex: to archive 2 of 2 messages is more than half" in complaints

    refused, _ = run(capsys, "--tenant", "globex", status=1)
    forced, complaints = run(capsys, "--tenant", "globex", "--force")
    assert (refused["status"], forced["archived"], "more than half" in complaints) == ("refused", 2, False)


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--actions", "fly"], 2),
        (["--actions", ""], 2),
        (["--tenant", " "], 2),
        (["--user", "ada"], 2),
        (["--apply", UNKNOWN], 1),
        (["--undo", UNKNOWN], 1),
        (["--resume", UNKNOWN], 1),
        (["--apply", UNKNOWN, "--dry-run"], 2),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    options: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options) == status

    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("options", [["--apply", "x"], ["--undo", "x"], ["--force", "--undo", UNKNOWN]])
def test_options_that_do_not_go_together_are_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(options)

    assert refused.value.code == 2
