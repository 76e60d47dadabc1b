"""Words find facts in other languages about as well as in English."""

from pathlib import Path

import pytest

from jobs.evaluation.dataset import Tenant
from jobs.evaluation.formats.recognition import read_datasets
from tests.integration.calls import search, store_many
from tests.integration.service import Service
from tests.integration.test_words_by_locale import WORDS_ALONE

DATA = Path(__file__).parents[1] / "retrieval" / "languages"
LANGUAGES = ("zh", "ja", "ko", "th", "ar", "hi", "de", "es", "ru", "tr")
SHARE_OF_ENGLISH = 0.9
QUESTIONS = 20


@pytest.mark.parametrize("language", LANGUAGES)
async def test_words_alone_find_nearly_as_much_as_in_english(service: Service, language: str) -> None:
    assert await recall_at_10(service, language) >= SHARE_OF_ENGLISH * await recall_at_10(service, "en")


async def recall_at_10(service: Service, language: str) -> float:
    """Return the share of the questions whose answer is among the first ten hits, before anything is embedded."""
    (dataset,) = read_datasets([DATA / f"facts.{language}.jsonl"])
    (tenant,) = dataset.tenants
    assert len(tenant.questions) == QUESTIONS
    answer = await service.client.put(f"/v1/admin/languages/{language}", json={"language": language})
    assert answer.status_code == 200, answer.text
    ids = await stored_ids(service, tenant, language)
    found = 0.0
    for question in tenant.questions:
        hits = (await search(service, question.text, tenant_id=language, weights=WORDS_ALONE))["items"]
        among = {ids[hit["message_id"]] for hit in hits if hit["score"] > 0}
        found += len(question.answers & among) / len(question.answers)
    return found / QUESTIONS


async def stored_ids(service: Service, tenant: Tenant, tenant_id: str) -> dict[str, str]:
    """Store a tenant's messages. Returns what the dataset calls each of them, by its id."""
    bodies = [
        {**each.message.model_dump(mode="json", exclude_none=True), "tenant_id": tenant_id} for each in tenant.messages
    ]
    stored = await store_many(service, bodies)
    return {message["id"]: each.id for message, each in zip(stored, tenant.messages, strict=True)}
