"""The sandbox in a provider's place: a channel's description filled in with where it answers, and with secrets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imsg.location import LOOPBACK
from imsg_channels.spec import ChannelSpec
from imsg_channels.stand_in import ANY, At, Default, MailServer, Path, Secret

PREFIX = "/sandbox/"
"""Where all that the sandbox plays over HTTP stands; an SMS account is played under its name."""


@dataclass(frozen=True, slots=True)
class Filling:
    """What the gaps of a stand-in's settings are filled with."""

    url: str
    """Where the sandbox answers."""
    smtp_port: int
    keep: Callable[[str], str]
    """Makes a secret of this name, once."""


def play(channel: ChannelSpec, given: Mapping[str, Any], filling: Filling) -> Mapping[str, Any] | None:
    """Make a channel's settings with the sandbox for its provider; None where one is named, or none is played."""
    if channel.stand_in is None or is_provided(channel, given):
        return None
    filled: Mapping[str, Any] = _fill(channel.stand_in.settings, given, filling)
    return filled


def is_provided(channel: ChannelSpec, given: Mapping[str, Any]) -> bool:
    """Tell whether the settings name a provider."""
    return channel.stand_in is not None and any(_find(given, path) for path in channel.stand_in.named)


def is_pointed_at(channel: ChannelSpec, given: Mapping[str, Any]) -> bool:
    """Tell whether a channel's provider was set to be the sandbox by hand."""
    if channel.stand_in is None:
        return False
    has_urls = any(isinstance(value, At) for value in leaves(channel.stand_in.settings).values())
    return has_urls and any(PREFIX in text for text in leaves(given).values() if isinstance(text, str))


def leaves(table: Mapping[str, Any], above: Path = ()) -> dict[Path, Any]:
    """List the values of nested settings by their paths."""
    found: dict[Path, Any] = {}
    for name, value in table.items():
        found |= leaves(value, (*above, name)) if isinstance(value, Mapping) else {(*above, name): value}
    return found


def _find(given: object, path: Path) -> object:
    """Return what stands at a path; of several names, the first thing that does."""
    if not path or not isinstance(given, Mapping):
        return None if path else given
    name, *rest = path
    inside = given.values() if name == ANY else (given.get(name),)
    return next((found for one in inside if (found := _find(one, tuple(rest)))), None)


def _fill(value: object, given: object, filling: Filling) -> Any:  # noqa: ANN401  any setting
    if isinstance(value, MailServer):
        return LOOPBACK if value is MailServer.HOST else filling.smtp_port
    match value:
        case Mapping():
            inside = given if isinstance(given, Mapping) else {}
            return {name: _fill(one, inside.get(name), filling) for name, one in value.items()}
        case At(path):
            return filling.url + path
        case Secret(name):
            return filling.keep(name)
        case Default(text):
            return given or text
        case _:
            return value
