"""LoCoMo's file: Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents" (2024).

https://github.com/snap-research/locomo. One sample is one tenant, a session is a conversation, and the turns of a
session are 20 seconds apart. Questions without evidence, and those of category 5, which have no answer, are left out.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from deployments.schemas.search import Query
from deployments.validation_faults import first_fault
from jobs.evaluation.dataset import LabelledMessage, Question, Tenant
from jobs.evaluation.errors import EvaluationInputError
from jobs.evaluation.formats.labelling import labelled

FORMAT = "LoCoMo"
BETWEEN_TURNS = timedelta(seconds=20)
# The category names of the paper's evaluation.
KINDS = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop"}
_SESSION = re.compile(r"session_(\d+)")
_EVIDENCE = re.compile(r"D:?(\d+):(\d+)")
_TIME = "%I:%M %p on %d %B, %Y"


class _Turn(BaseModel):
    speaker: str
    dia_id: str
    text: str
    blip_caption: str | None = None


class _Asked(BaseModel):
    question: Query
    category: int
    evidence: list[str] = Field(default_factory=list)


class _Sample(BaseModel):
    sample_id: str
    conversation: dict[str, Any]
    qa: list[_Asked]


_turns = TypeAdapter(list[_Turn])


def read_sample(raw: object, where: str) -> Tenant:
    """Return one conversation with its questions. Raises an `EvaluationInputError` whose text starts with `where`."""
    try:
        sample = _Sample.model_validate(raw)
        sessions = {
            int(match[1]): _turns.validate_python(turns)
            for key, turns in sample.conversation.items()
            if (match := _SESSION.fullmatch(key))
        }
    except ValidationError as error:
        raise EvaluationInputError(f"{where}: {first_fault(error)}") from None
    messages = [message for number in sorted(sessions) for message in _session(sample, number, sessions[number], where)]
    return Tenant(sample.sample_id, messages, _questions(sample, {message.id for message in messages}))


def _session(sample: _Sample, number: int, turns: list[_Turn], where: str) -> list[LabelledMessage]:
    began = _time(sample.conversation.get(f"session_{number}_date_time"), f"{where}: session_{number}_date_time")
    return [
        labelled(
            turn.dia_id,
            where,
            tenant_id=sample.sample_id,
            conversation_id=f"{sample.sample_id}:session_{number}",
            role="user" if turn.speaker == sample.conversation.get("speaker_a") else "assistant",
            name=turn.speaker,
            content=said,
            created_at=began + index * BETWEEN_TURNS,
            metadata={"ref": turn.dia_id},
        )
        for index, turn in enumerate(turns)
        if (said := _said(turn)).strip()
    ]


def _said(turn: _Turn) -> str:
    return f"{turn.text} [shares a picture: {turn.blip_caption}]" if turn.blip_caption else turn.text


def _time(text: object, where: str) -> datetime:
    try:
        # The file writes "1:56 pm on 8 May, 2023".
        return datetime.strptime(str(text).upper().replace(" ON ", " on "), _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise EvaluationInputError(f"{where}: {text!r} is no time like '1:56 pm on 8 May, 2023'") from None


def _questions(sample: _Sample, known: set[str]) -> list[Question]:
    asked = []
    for each in sample.qa:
        # Some evidence is written D:11:26, and some strings hold several ids.
        named = {f"D{int(session)}:{int(turn)}" for session, turn in _EVIDENCE.findall(" ".join(each.evidence))}
        answers = frozenset(named & known)
        if answers and each.category in KINDS:
            asked.append(Question(each.question, answers, KINDS[each.category]))
    return asked
