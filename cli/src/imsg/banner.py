"""What `imsg up` says once it runs: where everything is, and how to send the first message."""

import shlex

from imsg.all_in_one import SANDBOX_ACCOUNT, SECRETS, Ground
from imsg.location import local_url

DOCUMENTED = ("admin / 123", "天存-system-1001 / 123456")
"""The accounts that exist where nobody but this machine reaches iMSG (interface document, sections 1.3 and 2)."""


def text(ground: Ground, *, with_console: bool = True) -> str:
    """Make the lines. Those that begin with a `$` of their own are for pasting into any POSIX shell."""
    base = local_url(ground.settings.host, ground.settings.port)
    return "\n".join(
        [
            "",
            f"  iMSG runs at {base}   (Ctrl-C ends it, nothing is lost)",
            "",
            *([f"  web page     {base}/"] if with_console else []),
            f"  interface    {base}/docs",
            f"  accounts     {_accounts(ground)}",
            f"  mail         {_mail(ground, base)}",
            f"  sms          {_sms(ground, base)}",
            f"  wechat       {_wechat(ground, base)}",
            f"  data         {ground.folder}",
            "",
            "  Send the first message: paste these lines into another terminal.",
            "",
            *_first_message(ground, base),
            "",
        ]
    )


def _accounts(ground: Ground) -> str:
    if ground.admin_password is None:
        return f"{', '.join(DOCUMENTED)}   (on this machine only)"
    if ground.settings.admin_password is not None:
        return "admin / IMSG_ADMIN_PASSWORD"
    return f"admin / see {ground.folder / SECRETS / 'admin_password'}"


def _mail(ground: Ground, base: str) -> str:
    if ground.sandbox_port is None:
        asked = ground.settings.smtp
        return f"goes out by {asked.host}{f':{asked.port}' if asked.port else ''}"
    return f"stays here, in {base}/sandbox/inbox   (IMSG_SMTP__HOST names a real server)"


def _sms(ground: Ground, base: str) -> str:
    if ground.sandbox_sms is None:
        return "the firms of your settings"
    return f"kept by the sandbox, read it at {base}/sandbox/inbox?method=sms"


def _wechat(ground: Ground, base: str) -> str:
    accounts = ", ".join(sorted(ground.settings.wechat.accounts))
    if ground.sandbox_account is None:
        return f"goes out by {accounts}; WeChat's console wants {base}/hooks/wechat/ACCOUNT as seen from outside"
    people = f"{base}/sandbox/wechat/followers"
    return (
        f"stays here too, by the official account {SANDBOX_ACCOUNT}   (IMSG_WECHAT__ACCOUNTS names a real one)\n"
        f"               a follower: curl -X POST {people}\n"
        f'               their tag:  curl {people}/OPENID/press -d \'{{"key":"获取我的openID"}}\''
    )


def _first_message(ground: Ground, base: str) -> list[str]:
    login = f'{{"username":"admin","password":"{_password(ground)}"}}'
    find = r"""sed 's/.*"token":"\([^"]*\)".*/\1/'"""
    message = (
        '{"token":"\'$TOKEN\'","to":"you@example.com","method":"smtp","content":{"subject":"hello","text":"您好"}}'
    )
    see = f"{base}/sandbox/inbox?to=you@example.com" if ground.sandbox_port is not None else f"{base}/api/v2/messages"
    return [
        f"TOKEN=$(curl -s {base}/api/v2/login -d '{login}' | {find})",
        f"curl -w '\\n' {base}/api/v2/messages -d '{message}'",
        f"sleep 1; curl -w '\\n' -H \"Authorization: Bearer $TOKEN\" '{see}'",
    ]


def _password(ground: Ground) -> str:
    if ground.admin_password is None:
        return "123"
    if ground.settings.admin_password is not None:
        return "'\"$IMSG_ADMIN_PASSWORD\"'"
    return f"'\"$(cat {shlex.quote(str(ground.folder / SECRETS / 'admin_password'))})\"'"
