"""Every setting in force: its variable, its value, and which source said so; secrets hidden."""

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
"""The source of a setting that nobody has set."""

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is in force."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class _Source:
    label: str
    values: Mapping[str, Any]


def settings(models: Sequence[type[Common]], made: Mapping[str, str]) -> list[Setting]:
    """List the settings of all models, each once; `made` says what stands where nobody said anything.

    Raises StartError.
    """
    listed: dict[str, Setting] = {}
    for model in models:
        with reading():
            sources = _sources(model)
        for path, field in _fields(model, sources):
            name = variable(*path)
            if name not in listed:
                listed[name] = _find_setting(name, path, field, sources, made)
    return sorted(listed.values(), key=lambda setting: setting.name)


def _find_setting(
    name: str, path: Path_, field: FieldInfo, sources: Sequence[_Source], made: Mapping[str, str]
) -> Setting:
    for source in sources:
        found, value = _find(source.values, path)
        if found:
            return Setting(name, _show(name, field, value), source.label)
    if name in made:
        return Setting(name, made[name], "imsg up")
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return Setting(name, "" if default is None else _show(name, field, default), DEFAULT)


def _sources(model: type[Common]) -> list[_Source]:
    config = Path(os.environ.get(f"{PREFIX}CONFIG", "imsg.toml"))
    return [
        _Source("environment", EnvSettingsSource(model)()),
        _Source(".env", DotEnvSettingsSource(model)()),
        _Source(config.name, TomlConfigSettingsSource(model, config)()),
    ]


def _fields(model: type[BaseModel], sources: Sequence[_Source], above: Path_ = ()) -> Iterator[tuple[Path_, FieldInfo]]:
    """Yield the fields of a model; of what people name, such as accounts, those that some source has."""
    for name, field in model.model_fields.items():
        if field.exclude:  # known only so that it is refused by its name
            continue
        inner = _model_in(field.annotation)
        if inner is not None:
            yield from _fields(inner, sources, (*above, name))
            continue
        yield (*above, name), field
        for named, part in _parts((*above, name), field.annotation, sources):
            given = _fields(part, sources, named)
            yield from (one for one in given if any(_find(source.values, one[0])[0] for source in sources))


def _parts(path: Path_, annotation: Any, sources: Sequence[_Source]) -> Iterator[tuple[Path_, type[BaseModel]]]:  # noqa: ANN401  any annotation
    """Yield what people named at a path, with each model that it may be."""
    if get_origin(annotation) is not dict:
        return
    kind = get_args(annotation)[1]
    models = [one for one in get_args(kind) or (kind,) if isinstance(one, type) and issubclass(one, BaseModel)]
    tables = [_find(source.values, path)[1] for source in sources]
    for name in dict.fromkeys(name for table in tables if isinstance(table, Mapping) for name in table):
        yield from (((*path, name), model) for model in models)


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401  any annotation
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) is dict:  # names that people choose, such as official accounts
        return None
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _find(values: Mapping[str, Any], path: Path_) -> tuple[bool, Any]:
    here: Any = values
    for step in path:
        if not isinstance(here, Mapping) or step not in here:
            return False, None
        here = here[step]
    return True, here


def _show(name: str, field: FieldInfo, value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if "SecretStr" in str(field.annotation) or re.search("PASSWORD|SECRET|KEY", name):
        return HIDDEN if value else ""
    if HOLDS_SECRETS in field.metadata:
        return mask_template(str(value))
    if isinstance(value, tuple | list | Mapping):
        return mask(", ".join(map(str, value)))
    if isinstance(value, str) and _is_table(field.annotation):  # it should be one, and what it is nobody knows
        return HIDDEN
    return mask(str(value))


def _is_table(annotation: Any) -> bool:  # noqa: ANN401  any annotation
    origin = get_origin(annotation)
    if isinstance(origin, type):
        return issubclass(origin, Mapping)
    return any(map(_is_table, get_args(annotation)))
