"""The text that `imsg up` prints once it is ready: where everything is, and how to send the first message."""

import os
import shlex
import socket
from collections.abc import Callable, Iterator
from functools import partial

from imsg import all_in_one
from imsg.all_in_one import SECRETS, RuntimeConfig
from imsg.location import local_url
from imsg.phrases import translate
from imsg_channels import CHANNELS
from imsg_channels.sms import SMS
from imsg_channels.smtp import SMTP
from imsg_channels.spec import ChannelSpec
from imsg_channels.wechat import WECHAT

DOCUMENTED = ("admin / 123", "天存-system-1001 / 123456")
"""The accounts that exist where only this machine reaches iMSG (interface document, sections 1.3 and 2)."""


def text(config: RuntimeConfig, *, with_console: bool = True) -> str:
    """Return the lines; those of the first message can be pasted into any POSIX shell."""
    base, tls = local_url(config.settings.host, config.settings.port), config.settings.tls
    lines = "\n".join(
        [
            f"  iMSG runs at {base}   (Ctrl-C ends it, nothing is lost)",
            "",
            *([f"  web page     {base}/"] if with_console else []),
            *([f"  HTTPS        {config.settings.public_url}   (port {tls.port})"] if tls.certificate else []),
            f"  interface    {base}/docs",
            f"  accounts     {_accounts(config)}",
            *(f"  {label:<12} {describe(config, base)}" for label, describe in _channels()),
            f"  data         {config.folder}",
            "",
            "  Send the first message: paste these lines into another terminal.",
        ]
    ).split("\n")
    return "\n".join(["", *map(translate, lines), "", *_first_message(config, base), ""])


def _accounts(config: RuntimeConfig) -> str:
    if config.admin_password is None:
        return f"{', '.join(DOCUMENTED)}   (on this machine only)"
    if config.settings.admin_password is not None:
        return "admin / IMSG_ADMIN_PASSWORD"
    return f"admin / {_reading(config)}"


def _channels() -> Iterator[tuple[str, Callable[[RuntimeConfig, str], str]]]:
    """Yield a label for each channel, and the function that describes where its messages go."""
    known = {SMTP.name: ("mail", _mail), SMS.name: ("sms", _sms), WECHAT.name: ("wechat", _wechat)}
    for channel in CHANNELS:
        yield known.get(channel.name, (channel.name, partial(_another, channel)))


def _another(channel: ChannelSpec, config: RuntimeConfig, base: str) -> str:
    if channel.name not in config.stand_ins:
        return "by its provider, as your settings name it"
    recipient = f'   ("to": "{channel.stand_in.to}")' if channel.stand_in is not None and channel.stand_in.to else ""
    return f"kept by the sandbox, read it at {base}/sandbox/inbox?method={channel.name}{recipient}"


def _mail(config: RuntimeConfig, base: str) -> str:
    if SMTP.name not in config.stand_ins:
        settings = all_in_one.read_channel(SMTP)
        port = settings.get("port")
        return f"goes out by {settings.get('host')}{f':{port}' if port else ''}"
    return f"stays here, in {base}/sandbox/inbox   (IMSG_SMTP__HOST names a real server)"


def _sms(config: RuntimeConfig, base: str) -> str:
    if SMS.name not in config.stand_ins:
        return "the providers of your settings"
    return f"kept by the sandbox, read it at {base}/sandbox/inbox?method=sms"


def _wechat(config: RuntimeConfig, base: str) -> str:
    if WECHAT.name not in config.stand_ins:
        accounts = ", ".join(sorted(all_in_one.read_channel(WECHAT).get("accounts", ())))
        return f"goes out by {accounts}; WeChat's console wants {base}/hooks/wechat/ACCOUNT as seen from outside"
    people = f"{base}/sandbox/wechat/followers"
    played = ", ".join(config.stand_ins[WECHAT.name]["accounts"])
    return (
        f"stays here too, by the official account {played}   (IMSG_WECHAT__ACCOUNTS names a real one)\n"
        f"               a follower: curl -X POST {people}\n"
        f'               their tag:  curl {people}/OPENID/press -d \'{{"key":"获取我的openID"}}\''
    )


def _first_message(config: RuntimeConfig, base: str) -> list[str]:
    login = f'{{"username":"admin","password":"{_password(config)}"}}'
    key = '{"token":"\'$TOKEN\'","name":"my program","kind":"live","scopes":["send:smtp","query"]}'
    message = '{"to":"you@example.com","method":"smtp","content":{"subject":"hello","text":"您好"}}'
    see = f"{base}/sandbox/inbox?to=you@example.com" if SMTP.name in config.stand_ins else f"{base}/api/v2/messages"
    return [
        f"TOKEN=$(curl -s {base}/api/v2/login -d '{login}' | {_find('token')})",
        f"KEY=$(curl -s {base}/api/v2/keys -d '{key}' | {_find('key')})",
        f"curl -w '\\n' -H \"Authorization: Bearer $KEY\" {base}/api/v2/messages -d '{message}'",
        f"sleep 1; curl -w '\\n' -H \"Authorization: Bearer $TOKEN\" '{see}'",
    ]


def _find(field: str) -> str:
    """Return the command that prints a field of a JSON object."""
    return rf"""sed 's/.*"{field}":"\([^"]*\)".*/\1/'"""


def _password(config: RuntimeConfig) -> str:
    if config.admin_password is None:
        return "123"
    if config.settings.admin_password is not None:
        return "'\"$IMSG_ADMIN_PASSWORD\"'"
    return f"'\"$({_reading(config)})\"'"


def _reading(config: RuntimeConfig) -> str:
    """Return the command that prints the administrator's password, from outside where this is a container."""
    command = f"cat {shlex.quote(str(config.folder / SECRETS / 'admin_password'))}"
    is_container = "container" in os.environ
    return f"docker exec {socket.gethostname()} {command}" if is_container else command
