"""Checks `serve_config.yaml`: Serve ignores unknown keys, and deployments that the application does not bind."""

import warnings
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from deployments.errors import ConfigurationError
from deployments.runtime.capacity import COUNTED_ONCE, DEPLOYMENTS, Capacity
from deployments.runtime.connection_budget import configured_replicas
from deployments.runtime.serve_config import read_serve_config
from deployments.settings import Settings
from deployments.validation_faults import faults
from jobs.doctor.findings import Finding, problem, warning, well

CHECK = "serve_config"
SHOWN = "The repository's serve_config.yaml shows one in its first lines."
IMPORT_PATH = "serve_app.build:build_app"


def read_config(path: Path) -> dict[str, Any] | Finding:
    """Return the parsed file, or a finding that says what is wrong with it."""
    advice = "Name the Serve config with --config, or take the one of the repository."
    try:
        config = read_serve_config(path)
    except ConfigurationError as error:
        return problem(CHECK, f"{error.message}.", advice)
    if not isinstance(config, dict) or application_of(config) is None:
        return problem(CHECK, f"{path} holds no application with the import_path {IMPORT_PATH}.", advice)
    return config


def application_of(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return our application in a config, or None."""
    applications = config.get("applications")
    found = [each for each in applications if isinstance(each, dict)] if isinstance(applications, list) else []
    return next((each for each in found if each.get("import_path") == IMPORT_PATH), None)


def judge_config(config: Mapping[str, Any], settings: Settings | None) -> list[Finding]:
    """Check keys, names and arguments, and whether the config fits the settings."""
    unknown = list(_unknown_keys(config))
    if refused := list(_refused(config)):
        return [*unknown, *refused]
    application = application_of(config) or {}
    findings = [*unknown, *_names(application), *_arguments(application), *_counted_once(application)]
    findings += _autoscaling(application)
    if settings is not None:
        findings += _timeouts(config, settings)
    return findings or [well(CHECK, "Serve and the builder know every name in it.")]


def capacity_of(application: Mapping[str, Any]) -> Capacity | None:
    """Return the capacity of each replica, or None if the arguments are invalid."""
    try:
        return Capacity.model_validate(application.get("args", {}))
    except ValidationError:
        return None


def unknown_keys(value: Any, model: type[BaseModel], where: str = "") -> Iterator[tuple[str, str | None]]:
    """Yield the keys, at any depth, that Serve would silently ignore, each with the most similar known key."""
    for key, part in value.items():
        if key not in model.model_fields:
            near = get_close_matches(str(key), list(model.model_fields), n=1)
            yield f"{where}{key}", near[0] if near else None
            continue
        inner = _special(key) or _model_in(model.model_fields[key].annotation)
        for element in part if isinstance(part, list) else [part]:
            if inner is not None and isinstance(element, dict):
                yield from unknown_keys(element, inner, f"{where}{key}.")


def serve_schema() -> type[BaseModel]:
    """Return Serve's own schema. The import is slow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.serve.schema import ServeDeploySchema  # noqa: PLC0415

    return ServeDeploySchema


def _special(key: str) -> type[BaseModel] | None:
    """Return the model of a key that Ray's schema declares as a plain dict, or None."""
    if key != "autoscaling_config":
        return None
    from ray.serve.config import AutoscalingConfig  # noqa: PLC0415

    return AutoscalingConfig


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found is not None), None)


def _unknown_keys(config: Mapping[str, Any]) -> Iterator[Finding]:
    for key, near in unknown_keys(config, serve_schema()):
        advice = f"Did you mean {near}?" if near else "Remove it."
        yield problem(CHECK, f"{key} is no key that Serve knows: it is ignored.", advice)


def _refused(config: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        serve_schema().model_validate(config)
    except ValidationError as error:
        for fault in faults(error):
            where = ".".join(part for part in fault.place if isinstance(part, str)) or "the file"
            # A runtime_env may contain secrets.
            why = "" if "runtime_env" in fault.place else f": {fault.reason.rstrip('.')}"
            yield problem(CHECK, f"Serve refuses {where}{why}.", "Set it as in the repository's serve_config.yaml.")


def _names(application: Mapping[str, Any]) -> Iterator[Finding]:
    names = [str(each.get("name")) for each in application.get("deployments", [])]
    for name in sorted(set(names) - set(DEPLOYMENTS)):
        near = get_close_matches(name, DEPLOYMENTS, n=1)
        advice = f"Did you mean {near[0]}?" if near else f"There are {', '.join(DEPLOYMENTS)}."
        yield problem(CHECK, f"There is no deployment {name}.", advice)
    for name in DEPLOYMENTS:
        if name not in names:
            advice = "Copy its part from the repository's serve_config.yaml."
            yield warning(CHECK, f"{name} has no part in it, and runs with Serve's defaults: one replica.", advice)


def _arguments(application: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        Capacity.model_validate(application.get("args", {}))
    except ValidationError as error:
        for fault in faults(error, "args"):
            yield problem(CHECK, f"{fault}.", "Set it as in the repository's serve_config.yaml.")


def _autoscaling(application: Mapping[str, Any]) -> Iterator[Finding]:
    """Check the autoscaling options, which Serve validates only when it deploys."""
    from ray.serve.config import AutoscalingConfig  # noqa: PLC0415

    for each in application.get("deployments", []):
        auto = AutoscalingConfig.default() if each.get("num_replicas") == "auto" else AutoscalingConfig()  # type: ignore[no-untyped-call]
        # A policy is code, which validation would import.
        given = {key: value for key, value in (each.get("autoscaling_config") or {}).items() if key != "policy"}
        try:
            AutoscalingConfig.model_validate(auto.model_dump(exclude_unset=True) | given)
        except ValidationError as error:
            why = faults(error)[0].reason.rstrip("!")
            yield problem(CHECK, f"Serve refuses the autoscaling_config of {each['name']}: {why}.", SHOWN)


def _counted_once(application: Mapping[str, Any]) -> Iterator[Finding]:
    for name, replicas in configured_replicas(application).items():
        if name in COUNTED_ONCE and replicas != 1:
            said = f"{name} has {replicas} replicas, which would each count a part of what there is."
            yield problem(CHECK, said, "Give it `num_replicas: 1`.")


def _timeouts(config: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    limit = (config.get("http_options") or {}).get("request_timeout_s")
    if limit is not None and settings.http.request_timeout_seconds >= limit:
        said = (
            f"MEMORY_REQUEST_TIMEOUT_SECONDS is not below request_timeout_s ({limit}): Serve cuts requests off first."
        )
        yield warning(CHECK, said, "Lower the first, or raise the second.")
