"""The sandbox in place of a provider: a channel's stand-in settings with the sandbox's URL, port and secrets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imsg.location import LOOPBACK
from imsg_channels.spec import ChannelSpec
from imsg_channels.stand_in import ANY, At, Default, MailServer, Path, Secret

PREFIX = "/sandbox/"
"""The path of everything that the sandbox plays over HTTP; an SMS account has its own path below."""


@dataclass(frozen=True, slots=True)
class Values:
    """What the placeholders of a stand-in's settings become."""

    url: str
    """Of the sandbox."""
    smtp_port: int
    read_secret: Callable[[str], str]
    """Returns the secret of a name, made at the first call."""


def fill_settings(channel: ChannelSpec, settings: Mapping[str, Any], values: Values) -> Mapping[str, Any] | None:
    """Return a channel's settings with the sandbox as its provider.

    Return None where the settings name a provider, or the channel has no stand-in.
    """
    if channel.stand_in is None or names_provider(channel, settings):
        return None
    filled: Mapping[str, Any] = _fill(channel.stand_in.settings, settings, values)
    return filled


def names_provider(channel: ChannelSpec, settings: Mapping[str, Any]) -> bool:
    """Return whether the settings name a provider."""
    return channel.stand_in is not None and any(_find(settings, path) for path in channel.stand_in.named)


def names_sandbox(channel: ChannelSpec, settings: Mapping[str, Any]) -> bool:
    """Return whether the settings name a URL of the sandbox."""
    if channel.stand_in is None:
        return False
    has_urls = any(isinstance(value, At) for value in flatten(channel.stand_in.settings).values())
    return has_urls and any(PREFIX in text for text in flatten(settings).values() if isinstance(text, str))


def flatten(table: Mapping[str, Any], above: Path = ()) -> dict[Path, Any]:
    """Return the values of nested settings by their paths."""
    values: dict[Path, Any] = {}
    for name, value in table.items():
        values |= flatten(value, (*above, name)) if isinstance(value, Mapping) else {(*above, name): value}
    return values


def _find(settings: object, path: Path) -> object:
    """Return the value at a path; where the path has ANY, the first value that is set."""
    if not path or not isinstance(settings, Mapping):
        return None if path else settings
    name, *rest = path
    tables = settings.values() if name == ANY else (settings.get(name),)
    return next((value for table in tables if (value := _find(table, tuple(rest)))), None)


def _fill(value: object, setting: object, values: Values) -> Any:  # noqa: ANN401  any setting
    if isinstance(value, MailServer):
        return LOOPBACK if value is MailServer.HOST else values.smtp_port
    match value:
        case Mapping():
            table = setting if isinstance(setting, Mapping) else {}
            return {name: _fill(inner, table.get(name), values) for name, inner in value.items()}
        case At(path):
            return values.url + path
        case Secret(name):
            return values.read_secret(name)
        case Default(text):
            return setting or text
        case _:
            return value
