"""The configurations that are compared: named sets of weights and settings."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings

from deployments.schemas.search import Weights
from deployments.settings import SearchSettings, Settings
from deployments.validation_faults import first_fault
from jobs.evaluation.errors import EvaluationInputError

DEFAULT = "default"
SETTINGS_GROUPS = ("search", "embedding", "gemini", "openai")
_SIDES = ("similarity", "words")
# Parts of a search without a weight, and the setting that turns each off.
_TURNED_OFF = {"neighbor_share": 0.0, "subtract_mean": False}


@dataclass(frozen=True)
class Configuration:
    """The weights sent with each search, and the settings, by group, that differ from the environment's.

    `weights` records which fields were set: the service chooses the others.
    """

    name: str
    weights: Weights = field(default_factory=Weights)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def applied_to(self, settings: Settings) -> Settings:
        """Return the settings with this configuration's overrides."""
        return replace(settings, **self.settings)


def read_configurations(path: Path | None, *, ablation: bool = False, settings_too: bool = True) -> list[Configuration]:
    """Return the configurations of a TOML file; without a file, the defaults alone.

    `ablation` adds the ablations of the first one, and those of settings only if settings can be chosen
    (`settings_too`).

    Raises `EvaluationInputError`: one line that names the file, the table and the key.
    """
    named = [Configuration(DEFAULT)] if path is None else _read(path)
    added = ablated(named[0], settings_too=settings_too) if ablation else []
    for taken in {each.name for each in named} & {each.name for each in added}:
        raise EvaluationInputError(f"{path}: [{taken}]: --ablation adds a configuration of that name")
    return named + added


def ablated(base: Configuration, *, settings_too: bool) -> list[Configuration]:
    """Return `base` without each weight in turn, without each part that a setting turns off, and each side alone.

    If its only weights are the two sides, removing one leaves the other side alone.
    """
    counted = [name for name in Weights.model_fields if getattr(base.weights, name)]
    without = [_reweighted(base, f"without {name}", {name: 0}) for name in counted if len(counted) > len(_SIDES)]
    nothing = dict.fromkeys(Weights.model_fields, 0)
    if settings_too:
        without += _without_settings(base)
    return without + [_reweighted(base, f"{side} only", {**nothing, side: 1}) for side in _SIDES]


def _without_settings(base: Configuration) -> list[Configuration]:
    search = base.settings.get("search") or SearchSettings()
    return [
        replace(
            base,
            name=f"without {name}",
            settings={**base.settings, "search": search.model_copy(update={name: off})},
        )
        for name, off in _TURNED_OFF.items()
        if getattr(search, name) != off
    ]


def _reweighted(base: Configuration, name: str, weights: Mapping[str, float]) -> Configuration:
    named = {**base.weights.model_dump(exclude_unset=True), **weights}
    return replace(base, name=name, weights=Weights.model_validate(named))


def _read(path: Path) -> list[Configuration]:
    tables = _tables(path)
    if not tables:
        raise EvaluationInputError(f"{path}: the file holds no configuration: write a table like [{DEFAULT}]")
    return [_configuration(name, table, f"{path}: [{name}]") for name, table in tables.items()]


def _tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationInputError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EvaluationInputError(f"{path}: {error}") from None


def _configuration(name: str, table: object, where: str) -> Configuration:
    if not isinstance(table, dict):
        raise EvaluationInputError(f"{where}: must be a table of weights and settings")
    for key, part in table.items():
        if key not in {"weights", *SETTINGS_GROUPS}:
            known = ", ".join(["weights", *SETTINGS_GROUPS])
            raise EvaluationInputError(f"{where}: {key}: is none of {known}")
        if not isinstance(part, dict):
            raise EvaluationInputError(f"{where}: {key}: must name a field, as in {key}.NAME = VALUE")
    settings = {group: _group(group, table[group], where) for group in SETTINGS_GROUPS if group in table}
    return Configuration(name, _weights(table.get("weights", {}), where), settings)


def _weights(fields: Mapping[str, object], where: str) -> Weights:
    try:
        return Weights.model_validate(fields)
    except ValidationError as error:
        raise EvaluationInputError(f"{where}: {first_fault(error, 'weights')}") from None


def _group(group: str, fields: Mapping[str, object], where: str) -> BaseSettings:
    """Return the group as the environment sets it, with these fields replaced."""
    model: type[BaseSettings] = get_type_hints(Settings)[group]
    for name in fields:
        if name not in model.model_fields:
            raise EvaluationInputError(f"{where}: {group}.{name}: there is no such setting")
    try:
        return model(**dict(fields))  # type: ignore[arg-type]  # validated by what it calls
    except ValidationError as error:
        raise EvaluationInputError(f"{where}: {first_fault(error, group)}") from None


def settings_used(settings: Settings) -> dict[str, dict[str, object]]:
    """Return the groups of settings that affect an evaluation, ready for JSON, without their secrets."""
    groups = ["search", "embedding"] + [
        group for group in ("gemini", "openai") if group in str(settings.embedding.provider)
    ]
    return {group: _public(getattr(settings, group)) for group in groups}


def _public(group: BaseSettings) -> dict[str, object]:
    secret = {name for name in type(group).model_fields if isinstance(getattr(group, name), SecretStr)}
    values = group.model_dump(mode="json", exclude=secret)
    return {name: without_password(value) if isinstance(value, str) else value for name, value in values.items()}


def without_password(text: str) -> str:
    """Return a URL without its user and password; any other text unchanged."""
    scheme, separator, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
