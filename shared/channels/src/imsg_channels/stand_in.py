"""What the sandbox plays of a channel's provider where nobody named one: settings, with gaps that `imsg up` fills."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

Path = tuple[str, ...]

ANY = "*"
"""In a path: whatever name people chose there."""


@dataclass(frozen=True, slots=True)
class At:
    """Where the sandbox answers, by its path."""

    path: str


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that is made once, and kept under this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Default:
    """What holds where this setting was not given by itself."""

    value: str


class MailServer(Enum):
    """Where the sandbox takes mail."""

    HOST = auto()
    PORT = auto()


@dataclass(frozen=True, slots=True)
class StandIn:
    """A channel's settings with the sandbox for its provider."""

    named: tuple[Path, ...]
    """Settings that name a provider: where one of them is given, the sandbox plays none."""
    settings: Mapping[str, object]
    """Below `IMSG_METHOD__`: values, `At`, `Secret`, `Default`, `MailServer`, and mappings of these."""
    to: str = ""
    """Whom one can write to there, where not every address is somebody."""
