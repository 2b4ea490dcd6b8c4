"""The channels there are: each one description, from which all that is not its sender follows."""

from collections.abc import Mapping
from importlib.metadata import entry_points

from imsg_channels.sms import SMS
from imsg_channels.smtp import SMTP
from imsg_channels.spec import ChannelSpec
from imsg_channels.wechat import WECHAT
from imsg_channels.wecom import WECOM
from imsg_contract.errors import Refusal

GROUP = "imsg.channels"
"""The entry points by which another distribution brings a channel of its own: a `ChannelSpec` each."""


def _load_installed() -> list[ChannelSpec]:
    brought = [point.load() for point in entry_points(group=GROUP)]
    return sorted(brought, key=lambda channel: channel.name)


CHANNELS: tuple[ChannelSpec, ...] = (SMTP, SMS, WECHAT, WECOM, *_load_installed())

BY_NAME: Mapping[str, ChannelSpec] = {channel.name: channel for channel in CHANNELS}

METHODS = tuple(BY_NAME)
"""Their names, in the order in which people are shown them."""


def unknown_method() -> Refusal:
    """Refuse a method that is none (10008), and name those there are."""
    *others, last = METHODS
    zh, en = f"{'、'.join(others)} 或 {last}", f"{', '.join(others)} or {last}"
    return Refusal("method_unknown", methods_zh=zh, methods_en=en)
