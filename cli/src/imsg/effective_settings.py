"""Every setting in force: its variable, its value, and its source; secrets are hidden."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, TomlConfigSettingsSource

from imsg_runtime.masking import HIDDEN, mask, mask_template
from imsg_runtime.settings import HOLDS_SECRETS, PREFIX, Common, reading, variable

DEFAULT = "default"
"""The source of a setting that is not set."""

ENVIRONMENT = "environment"

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting in force."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class _Source:
    label: str
    values: Mapping[str, Any]


def settings(models: Sequence[type[Common]], defaults: Mapping[str, str]) -> list[Setting]:
    """List the settings of all models, each once; `defaults` are the values of `imsg up` for those not set.

    Raises StartError.
    """
    listed: dict[str, Setting] = {}
    for model in models:
        with reading():
            sources = _sources(model)
        for path, field in _fields(model, sources):
            name = variable(*path)
            if name not in listed:
                listed[name] = _find_setting(name, path, field, sources, defaults)
    return sorted(listed.values(), key=lambda setting: setting.name)


def _find_setting(
    name: str, path: Path_, field: FieldInfo, sources: Sequence[_Source], defaults: Mapping[str, str]
) -> Setting:
    for source in sources:
        is_set, value = _find(source.values, path)
        if is_set:
            return Setting(name, _show(name, field, value), source.label)
    if name in defaults:
        return Setting(name, defaults[name], "imsg up")
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return Setting(name, "" if default is None else _show(name, field, default), DEFAULT)


def _sources(model: type[Common]) -> list[_Source]:
    config = Path(os.environ.get(f"{PREFIX}CONFIG", "imsg.toml"))
    return [
        _Source(ENVIRONMENT, EnvSettingsSource(model)()),
        _Source(".env", DotEnvSettingsSource(model)()),
        _Source(config.name, TomlConfigSettingsSource(model, config)()),
    ]


def _fields(model: type[BaseModel], sources: Sequence[_Source], above: Path_ = ()) -> Iterator[tuple[Path_, FieldInfo]]:
    """Yield the fields of a model with their paths; of accounts and other named tables, those that a source has."""
    for name, field in model.model_fields.items():
        if field.exclude:  # known only to be refused with a remedy
            continue
        inner = _model_in(field.annotation)
        if inner is not None:
            yield from _fields(inner, sources, (*above, name))
            continue
        yield (*above, name), field
        for named, part in _parts((*above, name), field.annotation, sources):
            inner_fields = _fields(part, sources, named)
            yield from (
                (inner_path, inner_field)
                for inner_path, inner_field in inner_fields
                if any(_find(source.values, inner_path)[0] for source in sources)
            )


def _parts(path: Path_, annotation: Any, sources: Sequence[_Source]) -> Iterator[tuple[Path_, type[BaseModel]]]:  # noqa: ANN401  any annotation
    """Yield the path of each named table below `path`, with each model that it may have."""
    if get_origin(annotation) is not dict:
        return
    kind = get_args(annotation)[1]
    models = [model for model in get_args(kind) or (kind,) if isinstance(model, type) and issubclass(model, BaseModel)]
    tables = [_find(source.values, path)[1] for source in sources]
    for name in dict.fromkeys(name for table in tables if isinstance(table, Mapping) for name in table):
        yield from (((*path, name), model) for model in models)


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401  any annotation
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) is dict:  # names that people choose, such as official accounts
        return None
    return next((model for part in get_args(annotation) if (model := _model_in(part))), None)


def _find(values: Mapping[str, Any], path: Path_) -> tuple[bool, Any]:
    """Return whether a path exists in nested tables, and its value."""
    value: Any = values
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return False, None
        value = value[name]
    return True, value


def _show(name: str, field: FieldInfo, value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if "SecretStr" in str(field.annotation) or re.search("PASSWORD|SECRET|KEY", name):
        return HIDDEN if value else ""
    if HOLDS_SECRETS in field.metadata:
        return mask_template(str(value))
    if isinstance(value, tuple | list | Mapping):
        return mask(", ".join(map(str, value)))
    if isinstance(value, str) and _is_table(field.annotation):  # text where a table belongs: it may hold a secret
        return HIDDEN
    return mask(str(value))


def _is_table(annotation: Any) -> bool:  # noqa: ANN401  any annotation
    origin = get_origin(annotation)
    if isinstance(origin, type):
        return issubclass(origin, Mapping)
    return any(map(_is_table, get_args(annotation)))
