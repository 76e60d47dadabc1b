"""What was said late in the evening belongs to the sender's day, wherever it is read."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from deployments.schemas.messages import NewMessage
from deployments.storage.postgres.zones import offset_minutes
from jobs.terminal import OK
from tests.integration.calls import found, get, message, search, store, store_many
from tests.integration.moving import at, in_a_thread, lines_of, run
from tests.integration.service import Service

LATE = "2026-10-31T23:30:00-07:00"
SAME_MOMENT = "2026-11-01T06:30:00Z"


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (LATE, LATE),
        (SAME_MOMENT, SAME_MOMENT),
        ("2026-11-01T06:30:00+00:00", SAME_MOMENT),
        ("2024-02-29T12:30:00.000001+05:45", "2024-02-29T12:30:00.000001+05:45"),
        ("2024-02-29T12:30:00-00:30", "2024-02-29T12:30:00-00:30"),
    ],
)
async def test_a_time_comes_back_as_it_was_sent(service: Service, sent: str, read: str) -> None:
    """Over all ways that it is read, also of a retry."""
    retried = [
        await service.client.post("/v1/messages", json=message(created_at=sent), headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    stored = await store(service, "This is the second turn", created_at=sent)
    hits = (await search(service, "python second turn", neighbors=1))["items"]
    listed = (await service.client.get("/v1/messages", params={"tenant_id": "acme"})).json()["items"]
    times = [
        *(answer.json()["created_at"] for answer in retried),
        stored["created_at"],
        (await get(service, stored["id"]))["created_at"],
        *(each["created_at"] for each in (*listed, *hits, *(turn for hit in hits for turn in hit["neighbors"]))),
    ]

    assert len(times) == 10
    assert set(times) == {read}


async def test_a_page_is_cut_by_the_moment_and_not_by_the_hour(service: Service) -> None:
    hours = ["T12:00:00+10:00", "T03:00:00+00:00", "T00:00:00-05:00", "T08:00:00+02:00"]
    await store_many(service, [message(hour, created_at=f"2026-10-31{hour}") for hour in hours])

    contents: list[str] = []
    parameters: dict[str, str] = {"tenant_id": "acme", "limit": "1"}
    while len(contents) < len(hours):
        page = (await service.client.get("/v1/messages", params=parameters)).json()
        contents += [each["content"] for each in page["items"]]
        parameters["cursor"] = page["next_cursor"] or ""

    assert contents == list(reversed(hours))


def test_an_offset_is_a_whole_number_of_minutes() -> None:
    """No zone of today is otherwise; of the time before 1972 Python's own are."""
    amsterdam = timezone(timedelta(minutes=19, seconds=32))
    new = NewMessage.model_validate({**message(), "created_at": datetime(2020, 1, 1, tzinfo=amsterdam)})

    assert new.created_at is not None
    assert offset_minutes(new.created_at) == 20
    assert new.created_at == datetime(2020, 1, 1, tzinfo=amsterdam).astimezone(UTC)


async def test_it_is_found_by_the_words_of_the_senders_day(service: Service) -> None:
    await store_many(
        service,
        [
            message("The door was open", created_at=LATE),
            message("The door was shut", created_at=SAME_MOMENT, conversation_id="c2"),
        ],
    )

    assert (await found(service, "the door on October 31"))[0] == "The door was open"
    assert (await found(service, "the door on November 1"))[0] == "The door was shut"


async def test_a_change_keeps_the_day(service: Service) -> None:
    stored = await store(service, "The door was open", created_at=LATE)
    changed = await service.client.patch(f"/v1/messages/{stored['id']}", json={"content": "The gate was open"})

    assert changed.json()["created_at"] == LATE
    assert await found(service, "October 31") == ["The gate was open"]


async def test_a_context_has_a_heading_for_the_senders_day(service: Service) -> None:
    """Lines stand in the order of moments, though the days of their zones go back and forth."""
    await store_many(
        service,
        [
            message("first", name="Ada", created_at=LATE),
            message("second", name="Bob", created_at="2026-11-01T07:00:00+00:00"),
            message("third", name="Ada", created_at="2026-10-31T23:45:00-07:30"),
        ],
    )

    request = {"tenant_id": "acme", "conversation_id": "c1", "query": "first", "token_budget": 500}
    answer = (await service.client.post("/v1/memory/context", json=request)).json()

    assert answer["text"] == (
        "[2026-10-31, this conversation]\nAda: first\n"
        "[2026-11-01, this conversation]\nBob: second\n"
        "[2026-10-31, this conversation]\nAda: third"
    )
    assert [each["created_at"] for each in answer["items"]] == [
        LATE,
        "2026-11-01T07:00:00Z",
        "2026-10-31T23:45:00-07:30",
    ]
    assert answer["tokens_used"] <= answer["token_budget"]


async def test_a_context_is_asked_for_at_a_time_as_a_search_is(service: Service) -> None:
    await store_many(
        service,
        [
            message("We had pasta", created_at="2026-03-02T12:00:00Z", conversation_id="c1"),
            message("We had curry", created_at="2026-03-09T12:00:00Z", conversation_id="c2"),
        ],
    )
    await service.embed_all()

    async def best(asked_at: str) -> str:
        request = {
            "tenant_id": "acme",
            "conversation_id": "new",
            "query": "What did we have yesterday?",
            "asked_at": asked_at,
            "top_k": 1,
        }
        answer = await service.client.post("/v1/memory/context", json=request)
        assert answer.status_code == 200, answer.text
        content: str = answer.json()["items"][0]["content"]
        return content

    assert await best("2026-03-03T08:00:00Z") == "We had pasta"
    assert await best("2026-03-10T08:00:00Z") == "We had curry"
    # It is the 11th in UTC already.
    assert await best("2026-03-10T23:00:00-11:00") == "We had curry"


def test_an_export_carries_the_zone(here: str, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "own.jsonl"
    source.write_text(json.dumps({"messages": [{"role": "user", "content": "Hello"}]}))
    assert run("import", source, "--tenant", "acme") == OK
    in_a_thread(here, "UPDATE messages SET utc_offset = -420, language = 'de'")
    path = tmp_path / "acme.jsonl.gz"
    assert run("export", "acme", path) == OK

    at(there, monkeypatch)
    assert run("import", path) == OK
    again = tmp_path / "again.jsonl.gz"
    assert run("export", "acme", again) == OK

    (line,) = lines_of(again)
    assert json.loads(line)["created_at"].endswith("-07:00")
    assert json.loads(line)["language"] == "de"
    assert lines_of(again) == lines_of(path)
