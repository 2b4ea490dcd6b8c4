"""The tables of rights have every key and command of Redis, and every tag of RabbitMQ, that a service uses."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from imsg import rights
from imsg_channels import CHANNELS

ROOT = Path(__file__).parents[2]

SOURCES = {
    "gateway": "gateway/src",
    "auth": "auth/src",
    "history": "history/src",
    "callbacks": "callbacks/src",
    "catalog": "catalog/src",
    "scheduler": "scheduler/src",
    **{channel.service: f"{channel.service}/src" for channel in CHANNELS},
}

OF_THE_BROKER = ("redis_streams",)
"""Redis as the broker is of the embedded mode alone, which has a Redis of its own without users."""


def code(folder: str) -> str:
    """Read all of a folder's modules."""
    modules = [path for path in ROOT.glob(f"{folder}/**/*.py") if not set(OF_THE_BROKER) & set(path.parts)]
    assert modules
    return "\n".join(module.read_text() for module in modules)


def commands(text: str) -> set[str]:
    """Find the commands that a text calls: `redis.call('HSET'` in a script, `.call("HSET"` on a connection."""
    in_scripts = re.findall(r"""redis\.p?call\(\s*['"]([A-Za-z]+)""", text)
    on_connections = re.findall(r"""(?:redis|cache|connection|store)\.call\(\s*"([A-Z]+)""", text)
    return {role.lower() for role in (*in_scripts, *on_connections)}


@pytest.mark.parametrize("service", SOURCES)
def test_every_command_of_a_service_is_among_its_rights(service: str) -> None:
    has = {*rights.COMMON, *rights.READS, *rights.READS_OF_SETS, *rights.WRITES, *rights.AT_REDIS[service].also}

    assert commands(code(SOURCES[service])) - has == set()


def test_every_command_of_the_frame_is_among_the_common_rights() -> None:
    has = {*rights.COMMON, *rights.READS, *rights.READS_OF_SETS, *rights.WRITES}

    assert commands(code("shared/*/src")) - has <= {"scan"}


@pytest.mark.parametrize("service", SOURCES)
def test_every_key_that_a_service_names_is_among_its_patterns(service: str) -> None:
    named = {re.sub(r"\{.*", "x", key) for key in re.findall(r'f"(imsg:[^" ]+)"', code(SOURCES[service]))}
    patterns = (*rights.AT_REDIS[service].reads, *rights.AT_REDIS[service].writes)

    assert {key for key in named if not any(fnmatchcase(key, pattern) for pattern in patterns)} == set()


@pytest.mark.parametrize("service", SOURCES)
def test_who_asks_how_much_waits_may_ask_rabbitmqs_management(service: str) -> None:
    """Without the tag RabbitMQ answers 401, "Not management user", and what is unacked is not counted."""
    asks = re.search(r"broker\.(depth|load)\(|Backpressure\(", code(SOURCES[service])) is not None

    assert ("management" in rights.AT_RABBIT[service].tags) == asks
