"""The text that `imsg up` prints once it is ready: where everything is, and how to send the first message."""

import os
import shlex
import socket
from collections.abc import Callable, Iterator
from functools import partial

from rich.cells import cell_len

from imsg import all_in_one
from imsg.all_in_one import SECRETS, RuntimeConfig
from imsg.api import language
from imsg.location import local_url
from imsg.phrases import translate
from imsg_channels import CHANNELS
from imsg_channels.sms import SMS
from imsg_channels.smtp import SMTP
from imsg_channels.spec import ChannelSpec
from imsg_channels.wechat import WECHAT
from imsg_runtime.lines import fill

DOCUMENTED = ("admin / 123", "天存-system-1001 / 123456")
"""The accounts that exist where only this machine reaches iMSG (interface document, sections 1.3 and 2)."""


def text(config: RuntimeConfig, *, with_console: bool = True) -> str:
    """Return the lines; those of the first message can be pasted into any POSIX shell."""
    base, tls = local_url(config.settings.host, config.settings.port), config.settings.tls
    lines = [
        fill("  iMSG runs at {0}   (Ctrl-C ends it, nothing is lost)", base),
        "",
        *([fill("  web page     {0}", f"{base}/")] if with_console else []),
        *([fill("  HTTPS        {0}   (port {1})", config.settings.public_url, tls.port)] if tls.certificate else []),
        fill("  interface    {0}", f"{base}/docs"),
        _accounts(config),
        *([_providers(base, with_console=with_console)] if config.stand_ins else []),
        *(line for describe in _channels() for line in describe(config, base)),
        fill("  data         {0}", config.folder),
        "",
        fill("  Send the first message: paste these lines into another terminal."),
    ]
    return "\n".join(["", *map(translate, lines), "", *_first_message(config, base), ""])


def _accounts(config: RuntimeConfig) -> str:
    if config.admin_password is None:
        return fill("  accounts     {0}   (on this machine only)", ", ".join(DOCUMENTED))
    kept = _reading(config) if config.settings.admin_password is None else "IMSG_ADMIN_PASSWORD"
    return fill("  accounts     {0}", f"admin / {kept}")


def _providers(base: str, *, with_console: bool) -> str:
    if with_console:
        return fill(
            "  providers    set up at {0}, or by settings; until then the sandbox plays them", f"{base}/providers"
        )
    return fill("  providers    set up by settings; until then the sandbox plays them")


def _channels() -> Iterator[Callable[[RuntimeConfig, str], list[str]]]:
    """Yield for each channel the function that describes where its messages go."""
    known = {SMTP.name: _mail, SMS.name: _sms, WECHAT.name: _wechat}
    for channel in CHANNELS:
        yield known.get(channel.name, partial(_another, channel))


def _another(channel: ChannelSpec, config: RuntimeConfig, base: str) -> list[str]:
    if channel.name not in config.stand_ins:
        return [fill("  {0} by its provider, as your settings name it", _name(channel))]
    recipient = f'   ("to": "{channel.stand_in.to}")' if channel.stand_in is not None and channel.stand_in.to else ""
    inbox = f"{base}/sandbox/inbox?method={channel.name}{recipient}"
    return [fill("  {0} kept by the sandbox, read it at {1}", _name(channel), inbox)]


def _name(channel: ChannelSpec) -> str:
    """Return the name of a channel, as wide as the first column."""
    name = channel.titles.zh if language() == "zh" else channel.name
    return name + " " * (12 - cell_len(name))


def _mail(config: RuntimeConfig, base: str) -> list[str]:
    if SMTP.name not in config.stand_ins:
        settings = all_in_one.read_channel(SMTP)
        port = settings.get("port")
        server = f"{settings.get('host')}{f':{port}' if port else ''}"
        return [fill("  mail         goes out by {0}", server)]
    return [fill("  mail         stays here, in {0}", f"{base}/sandbox/inbox")]


def _sms(config: RuntimeConfig, base: str) -> list[str]:
    if SMS.name not in config.stand_ins:
        return [fill("  sms          the providers of your settings")]
    return [fill("  sms          kept by the sandbox, read it at {0}", f"{base}/sandbox/inbox?method=sms")]


def _wechat(config: RuntimeConfig, base: str) -> list[str]:
    if WECHAT.name not in config.stand_ins:
        accounts = ", ".join(sorted(all_in_one.read_channel(WECHAT).get("accounts", ())))
        hook = f"{base}/hooks/wechat/ACCOUNT"
        return [fill("  wechat       goes out by {0}; WeChat's console wants {1} as seen from outside", accounts, hook)]
    people = f"{base}/sandbox/wechat/followers"
    played = ", ".join(config.stand_ins[WECHAT.name]["accounts"])
    return [
        fill("  wechat       stays here too, by the official account {0}", played),
        fill("               a follower: curl -X POST {0}", people),
        fill("               their tag:  curl {0}", f'{people}/OPENID/press -d \'{{"key":"获取我的openID"}}\''),
    ]


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
