"""Our own format: JSON Lines, each a message or a question (docs/evaluation.md)."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from deployments.schemas.messages import Content, Identifier, Metadata, NewMessage, PastTime, Role
from deployments.schemas.search import Query
from deployments.validation_faults import first_fault
from jobs.evaluation.dataset import LabelledMessage, Question, Tenant
from jobs.evaluation.errors import EvaluationInputError

FORMAT = "JSON Lines"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant: Identifier | None = None


class MessageLine(_Line):
    """A message line. `id` is unique within its tenant."""

    type: Literal["message"]
    id: Identifier
    conversation_id: Identifier
    role: Role
    name: Identifier | None = None
    content: Content
    created_at: PastTime
    metadata: Metadata = Field(default_factory=dict)


class QuestionLine(_Line):
    """A question line, with the ids of all messages that answer it."""

    type: Literal["question"]
    question: Query
    answers: Annotated[list[str], Field(min_length=1)]
    kind: Identifier | None = None


_line: TypeAdapter[MessageLine | QuestionLine] = TypeAdapter(
    Annotated[MessageLine | QuestionLine, Field(discriminator="type")]
)


@dataclass
class _Found:
    """A tenant while its file is parsed; each question with its line number."""

    messages: dict[str, LabelledMessage] = field(default_factory=dict)
    questions: list[tuple[int, Question]] = field(default_factory=list)


def read_lines(text: str, file: str, default_tenant: str) -> list[Tenant]:
    """Return the tenants of a file. Raises an `EvaluationInputError` that names `file` and the line."""
    found: dict[str, _Found] = {}
    # Not splitlines(), which also splits at characters that are valid inside a JSON string.
    for number, raw in enumerate(text.split("\n"), start=1):
        if raw.strip():
            line = _parse(raw, f"{file}:{number}")
            _add(found.setdefault(line.tenant or default_tenant, _Found()), line, file, number, default_tenant)
    for tenant in found.values():
        _check_answers(tenant, file)
    return [
        Tenant(name, list(tenant.messages.values()), [question for _, question in tenant.questions])
        for name, tenant in found.items()
    ]


def _parse(raw: str, where: str) -> MessageLine | QuestionLine:
    try:
        return _line.validate_json(raw)
    except ValidationError as error:
        raise EvaluationInputError(f"{where}: {first_fault(error)}") from None


def _add(tenant: _Found, line: MessageLine | QuestionLine, file: str, number: int, default_tenant: str) -> None:
    if isinstance(line, QuestionLine):
        tenant.questions.append((number, Question(line.question, frozenset(line.answers), line.kind)))
        return
    if line.id in tenant.messages:
        raise EvaluationInputError(f"{file}:{number}: the id {line.id!r} is taken by an earlier message of this tenant")
    fields: dict[str, Any] = line.model_dump(exclude={"type", "tenant", "id"})
    message = NewMessage(tenant_id=line.tenant or default_tenant, **fields)
    tenant.messages[line.id] = LabelledMessage(line.id, message)


def _check_answers(tenant: _Found, file: str) -> None:
    for number, question in tenant.questions:
        for answer in sorted(question.answers - tenant.messages.keys()):
            raise EvaluationInputError(f"{file}:{number}: the answer {answer!r} names no message of this tenant")
