"""Every documented setting is read by a service."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from imsg_runtime.settings import CALLERS, Common, PeerKeys, variable
from imsg_runtime.unknown_settings import NAMES

ROOT = Path(__file__).parents[2]

CHOSEN = "<NAME>"

ELSEWHERE = {
    "IMSG_CONFIG",
    "IMSG_BIND",
    "IMSG_BOUNCE_BIND",
    "IMSG_EDGE_PROXIES",
    "IMSG_STORE_CPUS",
    "IMSG_DATA_DIR",
    "IMSG_CONNECTIONS_PER_ADDRESS",
    "IMSG_TLS",
    "IMSG_BACKUP",
    "IMSG_SECRETS",
    "IMSG_USERNAME",
    "IMSG_PASSWORD",
}
"""Read by the frame itself, by docker-compose.yml, by `imsg up`, by the command and by deploy/postgres/roles.sh."""


def settings(path: Path) -> type[Common]:
    """Return the Settings of a service's main."""
    found: type[Common] = importlib.import_module(f"{path.parent.name}.main").Settings
    return found


SERVICES = {
    path.parent.name: settings(path) for path in sorted(ROOT.glob("*/src/*/main.py")) if path.parent.name != "imsg"
}


def names(model: type[BaseModel], *path: str) -> Iterator[str]:
    """Yield the environment variables of a model, nested ones too; CHOSEN stands for a name that people choose."""
    for name, field in model.model_fields.items():
        yield variable(*path, name)
        inner: Any = field.annotation
        if isinstance(inner, UnionType):  # of a part that may be left out
            inner = next(get_arg for get_arg in get_args(inner) if get_arg is not NoneType)
        chosen = get_args(inner)[1] if get_origin(inner) is dict else None
        models = [
            arg for arg in (get_args(chosen) or (chosen,)) if isinstance(arg, type) and issubclass(arg, BaseModel)
        ]
        if chosen is not None:
            yield variable(*path, name, CHOSEN)
        if models:
            for part in models:
                yield from names(part, *path, name, CHOSEN)
        elif inner is PeerKeys:
            yield from (variable(*path, name, caller.replace("-", "_")) for caller in CALLERS)
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from names(inner, *path, name)


def unknown(named: set[str], known: set[str]) -> set[str]:
    """Return the variables that no setting reads."""
    patterns = [re.compile(setting.replace(CHOSEN, "[A-Z0-9]+")) for setting in known if CHOSEN in setting]
    return {setting for setting in named - known if not any(pattern.fullmatch(setting) for pattern in patterns)}


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "README.zh-CN.md",
        ".env.example",
        "docker-compose.yml",
        *(f"deploy/{name}.yml" for name in ("bounces", "parted", "sandbox")),
    ],
)
def test_a_named_setting_exists(name: str) -> None:
    known = {variable for model in SERVICES.values() for variable in names(model)} | ELSEWHERE
    named = set(re.findall(r"\bIMSG_[A-Z_]+[A-Z]\b", (ROOT / name).read_text()))

    assert named
    assert unknown(named, known) == set()


def test_every_service_is_a_container() -> None:
    run = re.findall(r"MODULE: (imsg_[\w ]+)", (ROOT / "docker-compose.yml").read_text())

    assert set(SERVICES) - set(" ".join(run).split()) == set()


@pytest.mark.parametrize("package", SERVICES)
def test_a_container_is_given_only_what_its_service_reads(package: str) -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    part = re.search(rf"MODULE: ([\w ]*\b{package}\b[\w ]*) \}}.*?environment:\n(.*?)\n    \w", compose, re.DOTALL)

    assert part is not None
    given = set(re.findall(r"^ +(IMSG_\w+):", part[2], re.MULTILINE))
    assert unknown(given, {name for word in part[1].split() for name in names(SERVICES[word])}) == set()


def test_the_frame_knows_every_first_word() -> None:
    """Else a service would call another's setting misspelt."""
    read = {name for model in SERVICES.values() for name, field in model.model_fields.items() if not field.exclude}
    assert {variable(name) for name in NAMES} == {variable(name) for name in read} | ELSEWHERE
