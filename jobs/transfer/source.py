"""The messages of a file in any format, ready to be stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

from pydantic import ValidationError

from deployments.schemas.transfer import Header, MovedMessage, VectorSpace
from deployments.validation_faults import first_fault
from jobs.transfer.errors import DamagedFileError, MovingInputError
from jobs.transfer.formats.recognition import OWN, format_of, turns
from jobs.transfer.formats.turns import LeftOut, Turn
from jobs.transfer.identity import Clock, copied_id, derived_id
from jobs.transfer.records import Record, RecordFile


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import. `space`: of this installation. `tenant_id`, `format`: None takes what the file says."""

    space: VectorSpace
    tenant_id: str | None = None
    format: str | None = None
    without_vectors: bool = False
    new_ids: bool = False


@dataclass(frozen=True)
class ImportedMessage:
    """A message, and its place in the file."""

    place: str
    message: MovedMessage


ImportedMessages: TypeAlias = Iterator[ImportedMessage | LeftOut]


@dataclass(frozen=True)
class ImportSource:
    """The messages of a file, and the tenant that they belong to."""

    tenant_id: str
    format: str
    messages: ImportedMessages


def read_source(file: RecordFile, stem: str, options: ImportOptions) -> ImportSource:
    """Detect the format of a file and return its messages; `stem` is the file's name without suffixes.

    Raises `MovingInputError` if the file is invalid, or invalid with these options.
    """
    records = file.records()
    bad: list[Record] = []
    for record in records:
        if record.reason is None:
            break
        bad.append(record)
    else:
        raise MovingInputError("the file holds no JSON")
    name = options.format or format_of(record)
    if name == OWN:
        if bad:
            raise MovingInputError(f"line {bad[0].line} {bad[0].reason}")
        return _own(_header(record), records, options)
    if options.tenant_id is None:
        raise MovingInputError(f"--tenant: a file of the format {name} does not say whose messages these are")
    found = turns(name, chain(bad, [record], records), stem)
    clock = Clock(file.modified_at, datetime.now(UTC))
    return ImportSource(options.tenant_id, name, _moved_turns(found, options.tenant_id, clock))


def _header(record: Record) -> Header:
    try:
        return Header.model_validate(record.value)
    except ValidationError as error:
        raise MovingInputError(f"line {record.line} is no header of this version: {first_fault(error)}") from None


def _own(header: Header, records: Iterator[Record], options: ImportOptions) -> ImportSource:
    theirs, ours = header.space, options.space
    same = theirs is None or (theirs.model, theirs.dimensions) == (ours.model, ours.dimensions)
    if theirs is not None and not same and not options.without_vectors:
        raise MovingInputError(
            f"the file holds vectors of {theirs.model} with {theirs.dimensions} dimensions, but here are those of "
            f"{ours.model} with {ours.dimensions}: --without-vectors has the messages embedded again"
        )
    tenant_id = options.tenant_id or header.tenant_id
    return ImportSource(tenant_id, OWN, _own_messages(header, records, tenant_id, options))


def _own_messages(
    header: Header, records: Iterator[Record], tenant_id: str, options: ImportOptions
) -> ImportedMessages:
    count = 0
    for record in records:
        count += 1
        yield _own_message(record, tenant_id, options)
    if count != header.messages:
        raise DamagedFileError(f"The file was made with {header.messages:,} messages, but holds {count:,}.")


def _own_message(record: Record, tenant_id: str, options: ImportOptions) -> ImportedMessage | LeftOut:
    place = f"line {record.line}"
    if not isinstance(record.value, dict):
        return LeftOut(place, record.reason or "is no message")
    try:
        message = MovedMessage.model_validate({**record.value, "tenant_id": tenant_id})
        if not options.without_vectors:
            message.packed_vector(options.space.dimensions)
    except ValidationError as error:
        return LeftOut(place, first_fault(error))
    except ValueError as error:
        return LeftOut(place, str(error))
    if message.embedding is None or options.without_vectors:
        message = message.without_vector()
    if options.new_ids:
        message = message.with_ids(partial(copied_id, tenant_id))
    return ImportedMessage(place, message)


def _moved_turns(found: Iterator[Turn | LeftOut], tenant_id: str, clock: Clock) -> ImportedMessages:
    for each in found:
        yield each if isinstance(each, LeftOut) else _moved_turn(each, tenant_id, clock.time_of(each))


def _moved_turn(turn: Turn, tenant_id: str, said_at: datetime) -> ImportedMessage | LeftOut:
    fields: dict[str, Any] = {
        "id": derived_id(tenant_id, turn),
        "tenant_id": tenant_id,
        "conversation_id": turn.conversation_id,
        "role": turn.role,
        "name": turn.name,
        "content": turn.content,
        "metadata": turn.metadata,
        "created_at": said_at,
        "updated_at": datetime.now(UTC),
        "chat": turn.chat,
        "external_id": turn.external_id,
    }
    try:
        return ImportedMessage(turn.place, MovedMessage.model_validate(fields))
    except ValidationError as error:
        return LeftOut(turn.place, first_fault(error))
