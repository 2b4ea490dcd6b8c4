"""The channels: each is one description, from which everything except its sender follows."""

from collections.abc import Mapping
from importlib.metadata import entry_points

from imsg_channels.sms import SMS
from imsg_channels.smtp import SMTP
from imsg_channels.spec import DEFAULT_CHUNK_SIZE, ChannelSpec
from imsg_channels.wechat import WECHAT
from imsg_channels.wecom import WECOM
from imsg_contract.errors import Refusal

GROUP = "imsg.channels"
"""The entry points by which another distribution adds channels: a `ChannelSpec` each."""


def _load_installed() -> list[ChannelSpec]:
    channels = [point.load() for point in entry_points(group=GROUP)]
    return sorted(channels, key=lambda channel: channel.name)


CHANNELS: tuple[ChannelSpec, ...] = (SMTP, SMS, WECHAT, WECOM, *_load_installed())

BY_NAME: Mapping[str, ChannelSpec] = {channel.name: channel for channel in CHANNELS}

METHODS = tuple(BY_NAME)
"""The names of the channels, in the order of display."""


def find_chunk_size(method: str) -> int:
    """Return how many messages a chunk of a channel has; of one that is not installed any more, the default."""
    return BY_NAME[method].chunk_size if method in BY_NAME else DEFAULT_CHUNK_SIZE


CONTACTS: tuple[str, ...] = tuple(dict.fromkeys(channel.contact for channel in CHANNELS if channel.contact is not None))
"""The contacts of a user that channels send to, in the order of the channels."""

METHOD_NAMES: Mapping[str, str] = {
    "methods_zh": f"{'、'.join(METHODS[:-1])} 或 {METHODS[-1]}",
    "methods_en": f"{', '.join(METHODS[:-1])} or {METHODS[-1]}",
}
"""The values for the sentences of refusal 10008, which names the methods."""


def refuse_method() -> Refusal:
    """Return the refusal of an unknown method (10008), which names the methods."""
    return Refusal("method_unknown", methods_zh=METHOD_NAMES["methods_zh"], methods_en=METHOD_NAMES["methods_en"])


def require_method(method: object) -> object:
    """Return the channel of a body's `method`, before the body is validated. Raises Refusal missing, method_unknown."""
    if method is None:
        raise Refusal("missing", field="method")
    if method not in METHODS:
        raise refuse_method()
    return method
