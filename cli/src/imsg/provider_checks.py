"""`imsg providers check`: every provider that is configured here asked for real, and what is wrong in words."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import imsg_sms.main
import imsg_smtp.main
import imsg_wechat.main
import imsg_wecom.main
from imsg import all_in_one, stand_ins
from imsg.location import has_gateway_url
from imsg.output import say_table
from imsg.whereabouts import require_here
from imsg_channels import BY_NAME
from imsg_runtime.logs import configure
from imsg_runtime.settings import StartError, load

TIMEOUT_S = 10.0
"""How long one provider may take: a person waits."""

HISTORY = "http://history"
"""Nothing is asked of it here."""


@dataclass(frozen=True, slots=True)
class ProviderFinding:
    """What one provider said; `is_well` None: nothing was to be asked."""

    method: str
    provider: str
    is_well: bool | None
    said: str


def main() -> int:
    """Print what each provider said; return 1 where one is not well.

    Raises StartError where the providers are those of services elsewhere.
    """
    configure("ERROR", "text")
    if not has_gateway_url():  # a container of `cli` is given what the services' own are given
        require_here("docker compose run --rm cli providers check.")
    findings = asyncio.run(_check_all())
    marks = {True: "✓", False: "✗", None: "–"}
    rows = [(marks[one.is_well], one.method, one.provider, one.said) for one in findings]
    say_table(("", "channel", "provider", "what it says"), rows)
    return 1 if any(one.is_well is False for one in findings) else 0


async def _check_all() -> list[ProviderFinding]:
    checks: Mapping[str, Callable[[], Awaitable[list[ProviderFinding]]]] = {
        "smtp": _mail_servers,
        "sms": _sms,
        "wechat": _wechat,
        "wecom": _wecom,
    }
    findings: list[ProviderFinding] = []
    for method, check in checks.items():
        channel = BY_NAME[method]
        if not stand_ins.is_provided(channel, all_in_one.read_channel(channel)):
            findings.append(ProviderFinding(method, "–", None, "nothing is set; `imsg up` has the sandbox play it"))
            continue
        try:
            findings += await check()
        except StartError as error:
            findings.append(ProviderFinding(method, "–", is_well=False, said=str(error)))
    return findings


async def _mail_servers() -> list[ProviderFinding]:
    smtp = load(imsg_smtp.main.Settings, history_url=HISTORY).smtp
    found = []
    for name, server in smtp.all_servers.items():
        failure = await imsg_smtp.main.try_server(smtp, TIMEOUT_S, name)
        where = f"{server.host}:{server.server_port}"
        logged_in = "lets us in" if server.username else "takes us without a log-in"
        said = f"{where} {logged_in}, security {server.protection}" if failure is None else failure.detail
        found.append(ProviderFinding("smtp", name, failure is None, said))
    for name, where, wrong in await imsg_smtp.main.try_bounce_mailboxes(smtp, TIMEOUT_S):
        what = f"bounce mailbox of {name}"
        found.append(ProviderFinding("smtp", what, wrong is None, wrong or f"{where} lets us in"))
    return found


async def _sms() -> list[ProviderFinding]:
    sms = load(imsg_sms.main.Settings).sms
    checked = await imsg_sms.main.check_providers(sms, TIMEOUT_S)
    return [ProviderFinding("sms", one.provider, one.is_well, one.said) for one in checked]


async def _wechat() -> list[ProviderFinding]:
    settings = load(imsg_wechat.main.Settings, history_url=HISTORY)
    found = await imsg_wechat.main.check_accounts(settings.wechat)
    fine = "the log-in works, and it has every template that is set"
    return [ProviderFinding("wechat", name, wrong is None, wrong or fine) for name, wrong in found.items()]


async def _wecom() -> list[ProviderFinding]:
    found = await imsg_wecom.main.check_robots(load(imsg_wecom.main.Settings).wecom)
    fine = "the key is known; nothing was written"
    return [ProviderFinding("wecom", name, wrong is None, wrong or fine) for name, wrong in found.items()]
