"""Each format is read as documented, and what is wrong with a file is said in one line that names the place."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.evaluation.dataset import Dataset, asked_of
from jobs.evaluation.errors import EvaluationInputError
from jobs.evaluation.formats.recognition import read_datasets
from tests.unit.evaluation.samples import locomo_sample, longmemeval_sample, message, question, write_lines


def read(path: Path) -> Dataset:
    (dataset,) = read_datasets([path])
    return dataset


def fault(path: Path) -> str:
    with pytest.raises(EvaluationInputError) as caught:
        read(path)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_lines_are_read(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "own.jsonl",
        question("m2", "m1", kind="temporal", tenant="b"),
        message(1, tenant="b", name="Ida", metadata={"a": 1}, content="with a \u2028 separator"),
        "",
        message(2, tenant="b"),
        message(1, tenant="a"),
        question("m1", tenant="a"),
    )

    dataset = read(path)

    assert (dataset.name, dataset.format, dataset.messages, dataset.questions) == ("own", "JSON Lines", 3, 2)
    b, a = dataset.tenants
    assert (b.name, a.name) == ("b", "a")
    assert b.questions[0].answers == {"m1", "m2"}
    assert b.questions[0].kind == "temporal"
    assert a.questions[0].kind is None
    first = b.messages[0].message
    assert (first.name, first.metadata, first.created_at) == (
        "Ida",
        {"a": 1},
        datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC),
    )


def test_a_file_without_tenants_is_one_tenant(tmp_path: Path) -> None:
    dataset = read(write_lines(tmp_path / "mine.jsonl", message(1), question("m1")))

    assert [tenant.name for tenant in dataset.tenants] == ["mine"]


BAD_LINES: list[tuple[str, list[Any], str]] = [
    ("broken JSON", [message(1), '{"type": "question", '], "{path}:2: Invalid JSON"),
    ("not an object", [message(1), "17"], "{path}:2: Input should be"),
    ("no type", [{"id": "m1"}], "{path}:1: Unable to extract tag using discriminator 'type'"),
    ("unknown type", [{"type": "answer"}], "{path}:1: Input tag 'answer' found using 'type'"),
    ("unknown key", [message(1, colour="red")], "{path}:1: message.colour: Extra inputs are not permitted"),
    ("missing key", [{"type": "question", "question": "?"}], "{path}:1: question.answers: Field required"),
    ("an answer that names nothing", [message(1), question("m7")], "{path}:2: the answer 'm7' names no message"),
    (
        "an answer of another tenant",
        [message(1, tenant="a"), question("m1", tenant="b")],
        "{path}:2: the answer 'm1' names no message of this tenant",
    ),
    ("no answers", [message(1), question()], "{path}:2: question.answers: List should have at least 1 item"),
    ("a duplicate id", [message(1), "", message(1)], "{path}:3: the id 'm1' is taken by an earlier message"),
    ("a blank content", [message(1, content=" ")], "{path}:1: message.content: must not be blank"),
    ("a wrong role", [message(1, role="robot")], "{path}:1: message.role: Input should be"),
    ("no time zone", [message(1, created_at="2026-01-01T00:00:00")], "{path}:1: message.created_at: Input should have"),
    ("the future", [message(1, created_at="2999-01-01T00:00:00Z")], "{path}:1: message.created_at: must not be in"),
    ("no question", [message(1)], "{path}:1: the file holds no question"),
    ("blank lines only", ["", " "], "{path}:1: the file is empty"),
]


@pytest.mark.parametrize(("lines", "expected"), [pytest.param(*each, id=name) for name, *each in BAD_LINES])
def test_what_is_wrong_with_a_line_is_said(lines: list[Any], expected: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "bad.jsonl", *lines)

    assert fault(path).startswith(expected.format(path=path))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(b'{"type": "message"}\n\xe9\n')

    assert fault(latin) == f"{latin}:2: it is not UTF-8"
    assert fault(tmp_path / "none.jsonl") == f"{tmp_path / 'none.jsonl'}: No such file or directory"
    assert fault(tmp_path) == f"{tmp_path}: Is a directory"


def test_locomo_is_read_as_it_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "locomo.json"
    path.write_text(json.dumps([locomo_sample()], indent=1))

    dataset = read(path)
    (tenant,) = dataset.tenants

    assert dataset.format == "LoCoMo"
    assert [each.id for each in tenant.messages] == ["D1:1", "D1:2", "D2:1"]
    look = tenant.messages[1].message
    assert look.content == "Look! [shares a picture: a red boat]"
    assert (look.role, look.name, look.conversation_id) == ("assistant", "Per", "conv-1:session_1")
    assert look.created_at == datetime(2023, 5, 1, 0, 5, 20, tzinfo=UTC)
    assert tenant.messages[2].message.created_at == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    assert [(each.kind, set(each.answers)) for each in tenant.questions] == [
        ("single-hop", {"D1:1"}),
        ("temporal", {"D2:1", "D1:2"}),
    ]


def test_longmemeval_is_read_as_it_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "longmemeval.json"
    path.write_text(json.dumps([longmemeval_sample()]))

    dataset = read(path)
    (tenant,) = dataset.tenants

    assert dataset.format == "LongMemEval"
    assert [each.id for each in tenant.messages] == ["S0:0", "S1:0", "S1:1"]
    last = tenant.messages[2].message
    assert (last.role, last.conversation_id) == ("assistant", "q1:1")
    assert last.created_at == datetime(2023, 5, 21, 23, 59, tzinfo=UTC) + timedelta(seconds=20)
    assert [(each.text, each.kind, set(each.answers)) for each in tenant.questions] == [
        ("What is my cat called?", "single-session-user", {"S1:0"})
    ]


BAD_SAMPLES: list[tuple[str, Any, str]] = [
    ("broken JSON", '[{"qa": 1},\n oops]', "{path}:2: unexpected character"),
    ("an empty list", [], "{path}:1: a list of what is neither"),
    ("something else", [{"a": 1}], "{path}:1: a list of what is neither"),
    ("LoCoMo without an id", [locomo_sample(sample_id=None)], "{path}:1: sample 1: sample_id: "),
    (
        "LoCoMo with a strange time",
        [locomo_sample(), locomo_sample(conversation={"session_1": [], "session_1_date_time": "noon"})],
        "{path}:1: sample 2: session_1_date_time: 'noon' is no time like",
    ),
    ("LoCoMo with a strange category", [locomo_sample(qa=[{"question": "?"}])], "{path}:1: sample 1: qa.0.category: "),
    ("LoCoMo without evidence", [locomo_sample(qa=[])], "{path}:1: the file holds no question"),
    ("LongMemEval with a date too few", [longmemeval_sample(haystack_dates=[])], "{path}:1: sample 1: 2 haystack_se"),
    (
        "LongMemEval with a strange date",
        [longmemeval_sample(haystack_dates=["yesterday", "today"])],
        "{path}:1: sample 1: haystack_dates.0: 'yesterday' is no time like",
    ),
    (
        "LongMemEval with a strange role",
        [
            longmemeval_sample(
                haystack_dates=["2023/05/20 (Sat) 02:21"], haystack_sessions=[[{"role": "x", "content": "y"}]]
            )
        ],
        "{path}:1: sample 1: message S0:0: role: ",
    ),
]


@pytest.mark.parametrize(("content", "expected"), [pytest.param(*each, id=name) for name, *each in BAD_SAMPLES])
def test_what_is_wrong_with_a_sample_is_said(content: Any, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))

    assert fault(path).startswith(expected.format(path=path))


def test_datasets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "own.jsonl" for folder in "abc"]
    for path in paths:
        path.parent.mkdir()
        write_lines(path, message(1), question("m1"))

    assert [dataset.name for dataset in read_datasets(paths)] == ["own", "own-2", "own-3"]


def test_questions_are_drawn_alike_each_time_and_tenants_without_any_are_left_out(tmp_path: Path) -> None:
    lines = [line for n in range(8) for line in (message(1, tenant=f"t{n}"), question("m1", tenant=f"t{n}"))]
    dataset = read(write_lines(tmp_path / "own.jsonl", *lines, message(1, tenant="silent")))

    drawn = asked_of(dataset, 3, seed=1)

    assert drawn.questions == len(drawn.tenants) == 3
    assert asked_of(dataset, 3, seed=1) == drawn
    assert asked_of(dataset, None, seed=1).tenants == asked_of(dataset, 99, seed=2).tenants == list(dataset.tenants[:8])
