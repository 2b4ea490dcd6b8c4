"""Finds settings that no service reads, since their names are misspelt or were removed, and says what to do."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, TomlConfigSettingsSource

from imsg_channels import METHODS
from imsg_runtime.lines import fill
from imsg_runtime.settings import NESTED, PREFIX, Common, variable

NAMES = frozenset(
    {
        "broker_url",
        "redis_url",
        "database_url",
        "service_key",
        "peer_keys",
        "token_key",
        "erasure_key",
        "tombstones_file",
        "admin_password",
        "timezone",
        "public_url",
        "allowed_hosts",
        "host",
        "port",
        "data_dir",
        "log_level",
        "log_format",
        "no_provider",
        "retention_days",
        "keep_audit_days",
        "keep_content_days",
        "token_hours",
        "max_recipients",
        "max_attachment_bytes",
        "max_depth",
        "disk_free_gib",
        "backup_hours",
        "trusted_proxies",
        "connections_per_address",
        *METHODS,
        "sandbox",
        "tls",
        "backup",
        "sandbox_url",
        "gateway_url",
        "username",
        "password",
        "auth_url",
        "history_url",
        "wechat_url",
        "callbacks_url",
        "catalog_url",
        "scheduler_url",
        "callbacks",
        "secret_key",
        "provider_key",
        "provider_keys",
        "provider_networks",
        "console_idle_minutes",
        "sweep",
        "config",
        "bind",
        "bounce_bind",
        "edge_proxies",
        "store_cpus",
        "secrets",
    }
)
"""The first word after IMSG_ of every setting: services share one environment, `.env` and imsg.toml, and each
knows only its own settings."""

OURS = ("test_", "bench_")
"""Prefixes of the settings of iMSG's own tests and measurements."""

_NEAR = 0.6
"""How similar two names must be for one to be suggested for the other (difflib's ratio)."""


@dataclass(frozen=True, slots=True)
class Misspelt:
    """The name of a setting that no service reads."""

    name: str
    nearest: str
    """The most similar known name; empty where none is similar."""

    @property
    def remedy(self) -> str:
        """What to do, as a sentence."""
        return fill("Write {0}.", self.nearest) if self.nearest else "Remove it."

    @property
    def line(self) -> str:
        """What is wrong, in one line."""
        if not self.nearest:
            return fill("nothing reads {0}.", self.name)
        return fill("nothing reads {0}; did you mean {1}?", self.name, self.nearest)

    def __str__(self) -> str:
        """Return the line."""
        return str(self.line)


def find(models: Sequence[type[Common]]) -> list[Misspelt]:
    """Return the names set in the environment, `.env` and imsg.toml that none of the models reads.

    A name whose first word belongs to a service that is not among the models is left to that service.
    """
    misspellings = {}
    for given in sorted({path for model in models for path in _find_given(model)}):
        verdicts = {_reads(model, given) for model in models}
        is_ours = given[0].startswith(OURS)
        if True in verdicts or is_ours or (given[0] in NAMES and False not in verdicts):
            continue
        known = [variable(*path) for model in models for path in _paths(model, given)]
        if given[0] not in NAMES:
            known += [variable(first, *given[1:]) for first in get_close_matches(given[0], NAMES)]
        name = variable(*given)
        near = get_close_matches(name, known, n=1, cutoff=_NEAR)
        misspellings[name] = Misspelt(name, near[0] if near else "")
    return list(misspellings.values())


def _find_given(model: type[Common]) -> Iterator[tuple[str, ...]]:
    """Yield the path of every name that is set: ('smtp', 'host')."""
    prefix = PREFIX.lower()
    for source in (EnvSettingsSource(model), DotEnvSettingsSource(model)):
        for name, value in source.env_vars.items():
            if name.lower().startswith(prefix) and value:
                yield tuple(name.lower().removeprefix(prefix).split(NESTED))
    toml = TomlConfigSettingsSource(model, Path(os.environ.get(f"{PREFIX}CONFIG", "imsg.toml")))
    yield from _leaves(toml.toml_data)


def _leaves(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*above, name.lower()))
        else:
            yield (*above, name.lower())


def _reads(model: type[BaseModel], path: Sequence[str]) -> bool | None:
    """Return whether a model reads a name; None where it can't decide."""
    if model.model_config.get("extra") == "ignore" and not issubclass(model, Common):
        return None  # it reads a part of another service's settings
    if model.model_config.get("extra") == "allow":
        return True  # it checks the names itself
    field = _fields(model).get(path[0])
    if field is None:
        return None if issubclass(model, Common) else False
    inners, is_named_by_people = _inner(field.annotation)
    rest = path[2:] if is_named_by_people else path[1:]
    if inners and any(isinstance(step, BeforeValidator) for step in field.metadata):
        return True  # the validator may take a shorter form, and checks its names
    if not inners or not rest:
        return bool(inners) or is_named_by_people or len(path) == 1
    verdicts = {_reads(inner, rest) for inner in inners}
    return True if True in verdicts else None if None in verdicts else False


def _fields(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """List a model's fields by the names that are read, lower case: their own and their aliases."""
    aliases = {field.alias.lower(): field for field in model.model_fields.values() if field.alias}
    return {**model.model_fields, **aliases}


def _paths(model: type[BaseModel], given: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the names that a model reads; where administrators choose a name, such as an account's, theirs is used."""
    for name, field in _fields(model).items():
        inners, is_named_by_people = _inner(field.annotation)
        chosen = (given[1],) if is_named_by_people and len(given) > 1 else ()
        if not inners:
            yield (name, *chosen)
        for inner in inners:
            yield from ((name, *chosen, *path) for path in _paths(inner, given[1 + len(chosen) :]))


def _inner(annotation: Any) -> tuple[Sequence[type[BaseModel]], bool]:  # noqa: ANN401  any annotation
    """Return the models inside an annotation, and whether administrators choose the names above them."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return (annotation,) if issubclass(annotation, BaseModel) else (), False
    if get_origin(annotation) in (dict, Mapping):
        return [model for part in get_args(annotation)[1:] for model in _inner(part)[0]], True
    inners = [_inner(part) for part in get_args(annotation)]
    return [model for models, _ in inners for model in models], any(named for _, named in inners)
