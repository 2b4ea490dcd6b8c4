"""`imsg providers check`: call each provider of the settings and of the page, without sending; print its answer."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import imsg_sms.main
import imsg_smtp.main
import imsg_wechat.main
import imsg_wecom.main
from imsg import all_in_one, stand_ins
from imsg.api import Api, Refused, Unreachable, connect, language
from imsg.findings import Translate
from imsg.instance import require_here
from imsg.location import find_url, has_gateway_url
from imsg.mail_servers import check_mailboxes, check_servers
from imsg.output import print_table
from imsg.page_accounts import list_page_accounts, try_page_account
from imsg.phrases import translate
from imsg_channels import BY_NAME
from imsg_contract.provider_accounts import ProviderTrouble
from imsg_runtime.settings import StartError, load

TIMEOUT_S = 10.0
"""How long one provider may take, since a person waits for the answer."""

HISTORY_URL = "http://history"
"""A required setting that these checks do not use."""


@dataclass(frozen=True, slots=True)
class ProviderFinding:
    """What one provider answered; `is_well` is None where there was nothing to ask."""

    method: str
    provider: str
    is_well: bool | None
    answer: str


def main() -> int:
    """Print what each provider answered; return 1 where one is not well.

    Raises StartError where services run by themselves, with settings of their own.
    """
    if not has_gateway_url():  # the container `cli` has the settings of the services
        require_here("docker compose run --rm cli providers check.")
    on_page = _check_page(find_url(None))
    findings = [*asyncio.run(_check_all({finding.method for finding in on_page})), *on_page]
    marks = {True: "✓", False: "✗", None: "–"}
    rows = [
        (marks[finding.is_well], finding.method, finding.provider, translate(finding.answer)) for finding in findings
    ]
    print_table(("", "channel", "provider", "what it says"), rows)
    return 1 if any(finding.is_well is False for finding in findings) else 0


def _check_page(url: str) -> list[ProviderFinding]:
    """Check the accounts of the page Providers, where iMSG runs and the logged-in user may see them."""
    try:
        with connect(url) as api:
            return [_try_account(api, account) for account in list_page_accounts(api)]
    except Refused:
        hint = "those of the page Providers: log in as an administrator first, `imsg login NAME`"
        return [ProviderFinding("–", "–", None, hint)]
    except Unreachable:
        return []


def _try_account(api: Api, account: Mapping[str, Any]) -> ProviderFinding:
    method, name = account["method"], account["name"]
    try:
        tried = try_page_account(api, account)
    except Refused as refused:
        return ProviderFinding(method, name, is_well=False, answer=refused.words)
    answer = "well; nothing was sent" if tried["ok"] else f"{tried['why']} {tried['remedy'] or ''}".strip()
    return ProviderFinding(method, name, tried["ok"], answer)


async def _check_all(on_page: Collection[str]) -> list[ProviderFinding]:
    """Call the providers of the settings; `on_page`: the channels that have accounts on the page."""
    checks: Mapping[str, Callable[[], Awaitable[list[ProviderFinding]]]] = {
        "smtp": _check_mail,
        "sms": _check_sms,
        "wechat": _check_wechat,
        "wecom": _check_wecom,
    }
    findings: list[ProviderFinding] = []
    for method, check in checks.items():
        channel = BY_NAME[method]
        if not stand_ins.names_provider(channel, all_in_one.read_channel(channel)):
            if method not in on_page:
                findings.append(ProviderFinding(method, "–", None, "nothing is set; `imsg up` uses the sandbox"))
            continue
        try:
            findings += await check()
        except StartError as error:
            findings.append(ProviderFinding(method, "–", is_well=False, answer=str(error)))
    return findings


async def _check_mail() -> list[ProviderFinding]:
    smtp = load(imsg_smtp.main.Settings, history_url=HISTORY_URL).smtp
    choose = Translate(language())
    servers, mailboxes = await check_servers(smtp, choose), await check_mailboxes(smtp, choose)
    findings = [*servers.items(), *((finding.part, finding) for finding in mailboxes.values())]
    return [
        ProviderFinding("smtp", name, not finding.remedy, f"{finding.state} {finding.remedy}".strip())
        for name, finding in findings
    ]


async def _check_sms() -> list[ProviderFinding]:
    checks = await imsg_sms.main.check_providers(load(imsg_sms.main.Settings).sms, TIMEOUT_S)
    choose = Translate(language())
    return [
        ProviderFinding("sms", check.provider, check.is_ok, choose(check.detail.zh, check.detail.en))
        for check in checks
    ]


async def _check_wechat() -> list[ProviderFinding]:
    wechat = load(imsg_wechat.main.Settings, history_url=HISTORY_URL).wechat
    well = "the log-in works, and it has every template that is set"
    return [
        _make_finding("wechat", name, await imsg_wechat.main.check_account(wechat, name), well)
        for name in wechat.accounts
    ]


async def _check_wecom() -> list[ProviderFinding]:
    wecom = load(imsg_wecom.main.Settings).wecom
    well = "the key is valid; nothing was sent"
    return [
        _make_finding("wecom", name, await imsg_wecom.main.check_account(wecom, name), well) for name in wecom.robots
    ]


def _make_finding(method: str, name: str, troubles: Sequence[ProviderTrouble], well: str) -> ProviderFinding:
    choose = Translate(language())
    faults = (
        choose(f"{trouble.zh}{trouble.remedy_zh}", f"{trouble.en} {trouble.remedy_en}".strip()) for trouble in troubles
    )
    return ProviderFinding(method, name, not troubles, " ".join(faults) or well)
