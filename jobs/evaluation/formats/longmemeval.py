"""LongMemEval's file: Wu et al., "LongMemEval: Benchmarking Chat Assistants on Long-Term Interactive Memory" (2025).

https://github.com/xiaowu0162/LongMemEval. One sample is one tenant with one question; a session of its haystack is a
conversation, whose turns are 20 seconds apart. The turns that are marked `has_answer` answer.
"""

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ValidationError

from deployments.schemas.search import Query
from deployments.validation_faults import first_fault
from jobs.evaluation.dataset import LabelledMessage, Question, Tenant
from jobs.evaluation.errors import EvaluationInputError
from jobs.evaluation.formats.labelling import labelled

FORMAT = "LongMemEval"
BETWEEN_TURNS = timedelta(seconds=20)
_TIME = "%Y/%m/%d (%a) %H:%M"


class _Turn(BaseModel):
    role: str
    content: str
    has_answer: bool | None = None


class _Sample(BaseModel):
    question_id: str
    question_type: str
    question: Query
    haystack_dates: list[str]
    haystack_sessions: list[list[_Turn]]


def read_sample(raw: object, where: str) -> Tenant:
    """Return one question with its haystack. Raises an `EvaluationInputError` whose text starts with `where`."""
    try:
        sample = _Sample.model_validate(raw)
    except ValidationError as error:
        raise EvaluationInputError(f"{where}: {first_fault(error)}") from None
    if len(sample.haystack_dates) != len(sample.haystack_sessions):
        raise EvaluationInputError(
            f"{where}: {len(sample.haystack_sessions)} haystack_sessions, but {len(sample.haystack_dates)} dates"
        )
    messages = [
        message for number in range(len(sample.haystack_sessions)) for message in _session(sample, number, where)
    ]
    answers = frozenset(
        _label(number, index)
        for number, session in enumerate(sample.haystack_sessions)
        for index, turn in enumerate(session)
        if turn.has_answer and turn.content.strip()
    )
    questions = [Question(sample.question, answers, sample.question_type)] if answers else []
    return Tenant(sample.question_id, messages, questions)


def _session(sample: _Sample, number: int, where: str) -> list[LabelledMessage]:
    began = _time(sample.haystack_dates[number], f"{where}: haystack_dates.{number}")
    return [
        labelled(
            _label(number, index),
            where,
            tenant_id=sample.question_id,
            conversation_id=f"{sample.question_id}:{number}",
            role=turn.role,
            content=turn.content,
            created_at=began + index * BETWEEN_TURNS,
            metadata={"ref": _label(number, index)},
        )
        for index, turn in enumerate(sample.haystack_sessions[number])
        if turn.content.strip()
    ]


def _label(session: int, turn: int) -> str:
    return f"S{session}:{turn}"


def _time(text: str, where: str) -> datetime:
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise EvaluationInputError(f"{where}: {text!r} is no time like '2023/05/20 (Sat) 02:21'") from None
