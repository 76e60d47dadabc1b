"""OpenAPI is complete: each answer and each error of each route has its model and an example."""

import json
import re
from collections.abc import Iterator
from typing import Any

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


def is_whole(status: str, answer: Json) -> bool:
    """Return whether an answer has a model and an example, or rightly no body."""
    if status in NO_BODY:
        return "content" not in answer
    content = answer["content"]["application/json"]
    return "$ref" in content["schema"] and has_example(content)


def test_every_answer_has_a_model_and_an_example() -> None:
    lacking = [f"{name} {status}" for name, status, answer in answers() if not is_whole(status, answer)]

    assert not lacking, "\n".join(lacking)


def has_the_one_shape(name: str, answer: Json) -> bool:
    """Return whether an error is the error of all routes. Those of health are whole reports."""
    content = answer["content"]["application/json"]
    model = content["schema"]["$ref"].rpartition("/")[2]
    if model == "ErrorAnswer":
        return {"code", "message", "request_id"} <= set(content["example"]["error"])
    return name.startswith("GET /v1/admin/") and model in {"Health", "Readiness", "Liveness"}


def test_every_error_has_the_one_shape() -> None:
    errors = [(name, status, answer) for name, status, answer in answers() if status >= "400"]
    others = [f"{name} {status}" for name, status, answer in errors if not has_the_one_shape(name, answer)]

    assert len(errors) > 300
    assert not others, "\n".join(others)


def test_fastapis_own_error_is_nowhere() -> None:
    assert not {"HTTPValidationError", "ValidationError"} & set(SPECIFICATION["components"]["schemas"])


def expected_failures(name: str, operation: Json) -> set[str]:
    """Return the statuses that a route must document, by what it takes."""
    expected = set() if name.endswith("/liveness") else {"503", "504"}
    if "requestBody" in operation:
        expected |= {"400", "413", "415", "422"}
    if operation.get("parameters"):
        expected.add("422")
    return expected | ({"404"} if "{" in name else set())


def test_every_route_says_what_it_does_and_how_it_fails() -> None:
    silent = [name for name, each in operations() if not (each.get("description") and each["tags"])]
    missing = {name: expected_failures(name, each) - set(each["responses"]) for name, each in operations()}

    assert not silent, "\n".join(silent)
    assert not any(missing.values()), "\n".join(f"{name}: {sorted(each)}" for name, each in missing.items() if each)


def test_every_body_has_an_example() -> None:
    bodies = [(name, each["requestBody"]) for name, each in operations() if "requestBody" in each]
    lacking = [name for name, body in bodies if not has_example(body["content"]["application/json"])]

    assert not lacking, "\n".join(lacking)


def test_every_summary_is_a_sentence_and_begins_the_description() -> None:
    others = [
        f"{name}: {each['summary']}"
        for name, each in operations()
        if not re.fullmatch(r"[A-Z][a-z]+ .{8,}\.", each["summary"])
        or not each["description"].startswith(each["summary"].rstrip("."))
    ]

    assert not others, "\n".join(others)


def test_every_parameter_of_text_has_an_example() -> None:
    """Save for cursors, which the service gives out."""
    lacking = [
        f"{name}: {parameter['name']}"
        for name, operation in operations()
        for parameter in operation.get("parameters", ())
        if '"string"' in json.dumps(parameter["schema"])
        and parameter["name"] != "cursor"
        and "example" not in parameter
    ]

    assert not lacking, "\n".join(lacking)


def examples(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from (part for name, part in node.items() if name in {"example", "examples"})
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from examples(part)


def test_examples_look_real() -> None:
    assert not re.search(r'"(string|additionalProp\d)"', json.dumps(list(examples(SPECIFICATION))))


def test_the_example_of_a_model_names_its_fields_alone() -> None:
    strange = {
        name: set().union(*schema.get("examples", ())) - set(schema.get("properties", ()))
        for name, schema in SPECIFICATION["components"]["schemas"].items()
    }

    assert not any(strange.values()), "\n".join(f"{name}: {sorted(each)}" for name, each in strange.items() if each)


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
