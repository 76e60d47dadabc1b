"""Every error survives the way from one replica to another, and means one thing over HTTP."""

import importlib
import inspect
import pickle
import pkgutil
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import PydanticDeprecatedSince20

import deployments
import jobs
import serve_app
from deployments.errors import MemoryLayerError
from serve_app.edge.http_errors import STATUS

with warnings.catch_warnings():
    # What Ray's own modules do when they are imported is not ours to mend.
    warnings.simplefilter("ignore", PydanticDeprecatedSince20)
    from ray import cloudpickle, serve  # noqa: F401

DETAILS = {"call": "embed", "numbers": [1, 2.5, None]}


def everywhere() -> None:
    """Import all modules, so that no subclass is missed."""
    for package in (deployments, serve_app, jobs):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def errors(base: type[MemoryLayerError] = MemoryLayerError) -> list[type[MemoryLayerError]]:
    return [base, *(error for child in base.__subclasses__() for error in errors(child))]


everywhere()


def example(error: type[MemoryLayerError]) -> MemoryLayerError:
    """One with every argument that its constructor takes."""
    given: dict[str, Any] = {"message": "Something is wrong.", "details": DETAILS, "retry_after": 12.5}
    names = list(inspect.signature(error).parameters)
    assert set(names) <= set(given), f"say here what {error.__name__} is given"
    return error(**{name: given[name] for name in names})


def survives(error: type[MemoryLayerError], dumps: Callable[[object], bytes]) -> bool:
    """Return whether an error is the same after it was pickled, in its class, code, arguments and fields."""
    sent = example(error)
    received = pickle.loads(dumps(sent))  # noqa: S301 - made here
    same = (received.code, received.args, vars(received)) == (sent.code, sent.args, vars(sent))
    return type(received) is error and same and str(received) == "Something is wrong."


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps], ids=["pickle", "cloudpickle"])
def test_every_error_survives_pickling(dumps: Callable[[object], bytes]) -> None:
    lost = [error.__name__ for error in errors() if not survives(error, dumps)]

    assert not lost, "\n".join(lost)


def test_every_error_can_be_made_of_its_message_alone() -> None:
    for error in errors():
        assert pickle.loads(pickle.dumps(error("Away."))).message == "Away.", error  # noqa: S301 - made here


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [error.code for error in errors()]

    assert len(codes) == len(set(codes))
    assert all("code" in vars(error) for error in errors())


def test_every_error_says_what_it_means() -> None:
    silent = [error.__name__ for error in errors() if inspect.getdoc(error) in {None, inspect.getdoc(error.__base__)}]

    assert not silent, "\n".join(silent)


# Raised before there is anyone to answer, by jobs alone, or only as a base of others; or answered without.
RERANKING = {"rerank_error", "rerank_unavailable", "rerank_rejected", "rerank_invalid"}
NEVER_SENT = {"internal_error", "configuration_error", "embedding_error", *RERANKING}


def test_every_code_has_a_status() -> None:
    codes = [error.code for error in errors() if error.__module__.startswith("deployments.")]
    wrong = [code for code in codes if (code in STATUS) == (code in NEVER_SENT)]

    assert not wrong, "\n".join(wrong)


def test_no_status_is_kept_for_a_code_that_is_gone() -> None:
    assert set(STATUS) <= {error.code for error in errors()}


def test_what_is_away_for_now_is_a_503() -> None:
    away = {"unavailable", "database_unavailable", "overloaded", "search_unavailable", "embedding_unavailable"}

    assert {code for code, status in STATUS.items() if status == 503} >= away
    assert all(status < 500 or status == 503 for status in STATUS.values())
