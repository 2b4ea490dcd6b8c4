"""Which roles may do what, by the document of the API."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from imsg_contract.roles import Role


def may(role: Role, operation: str) -> bool:
    """Return whether users with a role may call an operation of v2, such as `PATCH /channels/{method}`."""
    return role in _read()[operation]


@cache
def _read() -> Mapping[str, list[str]]:
    """Read the roles of each operation. `make openapi` writes them with the document."""
    text = files("imsg_console").joinpath("permissions.json").read_text(encoding="utf-8")
    operations: Mapping[str, list[str]] = json.loads(text)
    return operations
