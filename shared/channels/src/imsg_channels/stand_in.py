"""A channel's settings with the sandbox as provider, for deployments without one; `imsg up` fills the placeholders."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

Path = tuple[str, ...]

ANY = "*"
"""Any name, as a part of a path."""


@dataclass(frozen=True, slots=True)
class At:
    """A placeholder: the sandbox's URL with this path."""

    path: str


@dataclass(frozen=True, slots=True)
class Secret:
    """A placeholder: a secret that is generated once and stored under this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Default:
    """A placeholder: the value unless the setting has one."""

    value: str


class MailServer(Enum):
    """Placeholders: host and port of the sandbox's mail server."""

    HOST = auto()
    PORT = auto()


@dataclass(frozen=True, slots=True)
class StandIn:
    """A channel's settings with the sandbox for its provider."""

    named: tuple[Path, ...]
    """Settings that name a real provider: if one of them is set, the sandbox is not used."""
    settings: Mapping[str, object]
    """Below `IMSG_METHOD__`: values, `At`, `Secret`, `Default`, `MailServer`, and mappings of these."""
    to: str = ""
    """An address that exists there, for channels where not every address does."""
