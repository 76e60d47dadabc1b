"""OpenAPI is complete: each answer and each error of each route has its model and an example."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from serve_app.api import CROSS_ORIGIN_METHODS, create_app
from tests.bare_services import bare_services

Json = dict[str, Any]
SERVICES = bare_services()
NO_BODY = {"204"}


def app() -> FastAPI:
    return create_app(SERVICES)


SPECIFICATION: Json = app().openapi()


def operations() -> Iterator[tuple[str, Json]]:
    for path, item in SPECIFICATION["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def answers() -> Iterator[tuple[str, str, Json]]:
    for name, operation in operations():
        for status, answer in operation["responses"].items():
            yield name, status, answer


def resolved(schema: Json) -> Json:
    reference = schema.get("$ref")
    return SPECIFICATION["components"]["schemas"][reference.rpartition("/")[2]] if reference else schema


def has_example(content: Json) -> bool:
    return "example" in content or "examples" in content or bool(resolved(content["schema"]).get("examples"))


ANSWERS = pytest.mark.parametrize(
    ("name", "status", "answer"), [pytest.param(*each, id=f"{each[0]} {each[1]}") for each in answers()]
)
OPERATIONS = pytest.mark.parametrize(("name", "operation"), [pytest.param(*each, id=each[0]) for each in operations()])


@ANSWERS
def test_an_answer_has_a_model_and_an_example(name: str, status: str, answer: Json) -> None:
    if status in NO_BODY:
        assert "content" not in answer
        return
    content = answer["content"]["application/json"]

    assert "$ref" in content["schema"], f"{name} {status} has no model"
    assert has_example(content), f"{name} {status} has no example"


@ANSWERS
def test_an_error_has_the_one_shape(name: str, status: str, answer: Json) -> None:
    if status < "400":
        return
    content = answer["content"]["application/json"]
    own = {"ErrorAnswer"} | ({"Health", "Readiness", "Liveness"} if name.startswith("GET /v1/admin/") else set())

    assert content["schema"]["$ref"].rpartition("/")[2] in own
    if content["schema"]["$ref"].endswith("/ErrorAnswer"):
        error = content["example"]["error"]
        assert {"code", "message", "request_id"} <= set(error)


def test_fastapis_own_error_is_nowhere() -> None:
    assert not {"HTTPValidationError", "ValidationError"} & set(SPECIFICATION["components"]["schemas"])


@OPERATIONS
def test_a_route_says_what_it_does_and_how_it_fails(name: str, operation: Json) -> None:
    assert operation.get("description")
    assert operation["tags"]
    expected = set()
    if not name.endswith("/liveness"):
        expected |= {"503", "504"}
    if "requestBody" in operation:
        expected |= {"400", "413", "415", "422"}
    if operation.get("parameters"):
        expected.add("422")
    if "{" in name:
        expected.add("404")
    assert expected <= set(operation["responses"])


@OPERATIONS
def test_what_a_route_takes_has_an_example(name: str, operation: Json) -> None:
    if "requestBody" not in operation:
        return
    content = operation["requestBody"]["content"]["application/json"]

    assert has_example(content), f"the body of {name} has no example"


@OPERATIONS
def test_the_summary_of_a_route_is_a_sentence_of_its_own_words(name: str, operation: Json) -> None:
    assert re.fullmatch(r"[A-Z][a-z]+ .{8,}\.", operation["summary"]), name
    assert operation["description"].startswith(operation["summary"].rstrip("."))


@OPERATIONS
def test_a_parameter_of_text_has_an_example(name: str, operation: Json) -> None:
    """Save for cursors, which the service gives out."""
    for parameter in operation.get("parameters", ()):
        is_text = '"string"' in json.dumps(parameter["schema"]) and parameter["name"] != "cursor"
        assert not is_text or "example" in parameter, f"{parameter['name']} of {name}"


def examples(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from (part for name, part in node.items() if name in {"example", "examples"})
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from examples(part)


def test_examples_look_real() -> None:
    assert not re.search(r'"(string|additionalProp\d)"', json.dumps(list(examples(SPECIFICATION))))


@pytest.mark.parametrize("model", SPECIFICATION["components"]["schemas"])
def test_the_example_of_a_model_names_its_fields_alone(model: str) -> None:
    schema = SPECIFICATION["components"]["schemas"][model]
    for example in schema.get("examples", ()):
        assert set(example) <= set(schema["properties"]), model


def test_every_operation_has_a_name_of_its_own() -> None:
    ids = [operation["operationId"] for _, operation in operations()]

    assert len(ids) == len(set(ids))


CONTRACT = {
    "POST /v1/messages",
    "POST /v1/messages/batch",
    "PUT /v1/messages",
    "GET /v1/messages",
    "GET /v1/messages/{message_id}",
    "PATCH /v1/messages/{message_id}",
    "DELETE /v1/messages/{message_id}",
    "POST /v1/facts",
    "POST /v1/facts/batch",
    "GET /v1/facts",
    "GET /v1/facts/{fact_id}",
    "PATCH /v1/facts/{fact_id}",
    "DELETE /v1/facts/{fact_id}",
    "GET /v1/memory/search",
    "POST /v1/memory/search",
    "POST /v1/memory/context",
    "GET /v1/conversations",
    "GET /v1/conversations/{conversation_id}",
    "DELETE /v1/conversations/{conversation_id}",
    "GET /v1/admin/health",
    "GET /v1/admin/readiness",
    "GET /v1/admin/liveness",
    "POST /v1/admin/retention/run",
    "GET /v1/admin/retention/runs/{run_id}",
    "POST /v1/admin/retention/runs/{run_id}/undo",
}


def test_the_contract_is_kept() -> None:
    assert {name for name, _ in operations()} >= CONTRACT


def test_no_operation_stands_behind_a_name_in_a_path() -> None:
    """A name may hold slashes, so that it would be taken for another name with an operation behind it."""
    named = re.compile(r"\{(tenant|conversation|user|agent|external)_id\}.")

    behind = [(name, operation.get("deprecated")) for name, operation in operations() if named.search(name)]

    assert behind
    assert all(deprecated for _, deprecated in behind), behind


def test_pages_of_other_origins_may_use_every_method() -> None:
    assert {name.partition(" ")[0] for name, _ in operations()} == set(CROSS_ORIGIN_METHODS)
