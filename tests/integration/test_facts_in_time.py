"""Facts that change, facts that only look alike, and what was said at the time that a query names."""

from typing import Any

import pytest

from tests.integration.calls import Json, found, message, search, store_many
from tests.integration.service import Service

OLD, NEW = "2026-02-01T10:00:00Z", "2026-09-01T10:00:00Z"
CORRECTED = [
    ("I moved to Berlin last year.", "I moved to Lisbon in spring.", "Which city did I move to?"),
    ("My wifi password is hunter2.", "My wifi password is swordfish9.", "What's my wifi password?"),
    ("Mom's birthday is on March 3rd.", "Mom's birthday is on March 8th, not the 3rd.", "When is mom's birthday?"),
    ("I'm vegetarian.", "I'm not vegetarian any more.", "Am I vegetarian?"),
    ("The meeting is at 10am on Monday.", "The meeting is at 2pm on Tuesday.", "When is the meeting?"),
    ("我住在上海。", "我住在北京。", "我住在哪里\uff1f"),
    ("Mein Hund heißt Bello.", "Mein Hund heißt Rex.", "Wie heißt mein Hund?"),
    ("Our budget is 5000 euros.", "Our budget is now 8000 euros.", "What is our budget?"),
    ("I take the bus to work.", "I take the train to work.", "How do I get to work?"),
    (
        "The nightly export of the Marlin project runs at two in the morning on the old server in Oslo.",
        "The nightly export of the Marlin project runs at five in the morning on the old server in Oslo.",
        "When does the Marlin export run?",
    ),
]
OTHERS = [
    "The dishwasher repair is booked for Tuesday morning.",
    "My nephew started playing the cello this autumn.",
    "The garden gnome fell over in the storm.",
    "Our landlord raised the rent by four percent.",
    "The choir rehearses on Thursdays.",
    "I need a new charger for the laptop.",
]
GUESTS = ("Ana", "Ben", "Chloe", "Dario", "Emil", "Fatima", "Goran", "Hana")


async def fill(service: Service, *messages: Json) -> None:
    """Store messages, each in a conversation of its own, and embed them."""
    others = [message(each) for each in OTHERS]
    bodies = [{**each, "conversation_id": f"c{n}"} for n, each in enumerate((*messages, *others))]
    await store_many(service, bodies)
    await service.embed_all()


async def test_what_holds_now_comes_before_what_it_corrects(service: Service) -> None:
    await fill(
        service,
        *(message(said, created_at=at) for old, new, _ in CORRECTED for said, at in ((old, OLD), (new, NEW))),
    )

    for old, new, question in CORRECTED:
        assert (await found(service, question))[:2] == [new, old], question


async def test_facts_that_differ_in_a_name_do_not_hide_each_other(service: Service) -> None:
    facts = [f"{guest} is allergic to peanuts." for guest in GUESTS]
    await fill(service, *map(message, facts), *(message("I am allergic to nuts.", name=guest) for guest in GUESTS))

    hits = (await search(service, "Who is allergic?", top_k=2 * len(GUESTS)))["items"]

    assert len([hit for hit in hits if "allergic" in hit["content"] and hit["score"] > 0.1]) == 2 * len(GUESTS)


async def test_what_is_said_again_is_found_once_and_newest(service: Service) -> None:
    await fill(service, message("The code is 4417.", created_at=OLD), message("the  code is 4417.", created_at=NEW))

    hits = (await search(service, "What is the code?"))["items"]

    assert hits[0]["content"] == "the  code is 4417."
    assert [hit["score"] for hit in hits if hit["content"] == "The code is 4417."] == [0]


@pytest.mark.parametrize(
    ("query", "day"),
    [
        ("What did we talk about yesterday?", "2026-10-31"),
        ("What happened on 3 May?", "2026-05-03"),
        ("What did I do in spring 2024?", "2024-04-10"),
    ],
)
async def test_a_query_that_names_a_time_finds_what_was_said_then(service: Service, query: str, day: str) -> None:
    said = ["Dentist, crown fitted.", "Signed the lease for Elm Road.", "Biscuit got his shots."]
    talk = [f"We talked about the {thing} and what happened." for thing in ("lamp", "vase", "scarf", "drum") * 15]
    await fill(
        service,
        *(message(each, created_at=f"{day}T12:00:00Z") for each in said),
        *(message(f"{each} {n}", created_at=f"2026-07-{1 + n % 28:02d}T09:00:00Z") for n, each in enumerate(talk)),
    )

    assert set(await found(service, query, asked_at="2026-11-01T09:00:00Z")) >= set(said)


async def test_days_and_weeks_in_a_query_are_no_words_of_it(service: Service) -> None:
    await fill(
        service,
        message("We met for the kickoff.", created_at="2026-11-05T09:00:00Z"),
        message("We met for the review.", created_at="2026-11-20T09:00:00Z"),
        message("The weekly report is due.", created_at="2026-08-01T09:00:00Z"),
    )
    asked: dict[str, Any] = {"asked_at": "2026-11-28T09:00:00Z"}

    assert (await found(service, "What did we do on November 5th?", **asked))[0] == "We met for the kickoff."
    assert (await found(service, "What did we do last week?", **asked))[0] == "We met for the review."


async def test_what_has_nothing_to_do_with_a_query_is_below_a_floor(service: Service) -> None:
    await fill(service, message("I live in Porto."), message("The cat gets insulin twice a day."))

    for floor in ({"min_score": 0.15}, {"min_similarity": 0.5}):
        assert await found(service, "lattice gauge theory of quarks", **floor) == []
    assert await found(service, "Where do I live?", min_score=0.3) == ["I live in Porto."]


@pytest.mark.parametrize(("query", "most"), [("ok, thanks", 1), ("Where do I live?", 3)])
async def test_a_context_is_not_filled_with_what_does_not_matter(service: Service, query: str, most: int) -> None:
    await fill(service, message("I live in Porto."), message("The cat gets insulin twice a day."))
    request = {"tenant_id": "acme", "conversation_id": "new", "query": query}

    answer = (await service.client.post("/v1/memory/context", json=request)).json()

    assert len(answer["items"]) <= most
    assert "insulin" not in answer["text"]
    assert ("Porto" in answer["text"]) == (query == "Where do I live?")
