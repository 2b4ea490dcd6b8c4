"""Checks of accounts without sending: the log-in, the approval of templates, the balance."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from imsg_sms.account_calls import CallRefused, call_aliyun, call_tencent, read_object, read_objects
from imsg_sms.providers.meanings import BEIJING
from imsg_sms.settings import Aliyun, AnyAccount, Sms, Tencent, Twilio
from imsg_web.http_pool import HttpPool, NoAnswer, NotSent

MAX_PACKAGES = 500
BOUGHT_WITHIN = timedelta(days=3 * 365)
"""The period of SmsPackagesStatistics, by date of purchase, which lists at most 500 packages
(tencentcloud-sdk-python-sms 3.1.153). No package is valid for longer."""

ALIYUN_STATES = {0: "in review", 1: "approved", 2: "rejected", 10: "withdrawn"}
"""TemplateStatus of QuerySmsTemplate (help.aliyun.com/document_detail/121206.html); unverified against the real one."""

TENCENT_STATES = {0: "approved", 1: "in review", -1: "rejected"}
"""StatusCode of DescribeSmsTemplateList (cloud.tencent.com/document/api/382/52067); unverified likewise."""


@dataclass(frozen=True, slots=True)
class ProviderCheck:
    """The result of a check; `is_ok` is None if the provider has no call for it."""

    provider: str
    is_ok: bool | None
    detail: str


async def check(sms: Sms, pool: HttpPool) -> list[ProviderCheck]:
    """Check every account in use at its provider."""
    checks = []
    for name, account in sms.used.items():
        try:
            detail = await _check_account(account, _find_template_ids(sms, name), pool)
        except CallRefused as error:
            checks.append(ProviderCheck(name, is_ok=False, detail=str(error)))
        except NotSent as error:
            checks.append(ProviderCheck(name, is_ok=False, detail=f"it can't be reached: {error}"))
        except NoAnswer as error:
            checks.append(ProviderCheck(name, is_ok=False, detail=f"it did not answer: {error}"))
        else:
            no_check = "configured; iMSG knows no call of this provider that checks it without sending"
            checks.append(ProviderCheck(name, None if detail is None else True, detail or no_check))
    return checks


async def _check_account(account: AnyAccount, ids: set[str], pool: HttpPool) -> str | None:
    """Check the log-in, templates and balance of an account; None if its provider has no call for that.

    Raises CallRefused, NotSent, NoAnswer.
    """
    match account:
        case Aliyun():
            return await _aliyun(account, ids, pool)
        case Tencent():
            return await _tencent(account, ids, pool)
        case Twilio():
            return await _twilio(account, pool)
    return None


async def _aliyun(account: Aliyun, ids: set[str], pool: HttpPool) -> str:
    """Call QuerySmsTemplate for each template."""
    states = {}
    for template in sorted({account.template, *account.templates, *ids}):
        try:
            body = await call_aliyun(account, "QuerySmsTemplate", {"TemplateCode": template}, pool)
        except CallRefused as error:
            raise CallRefused(f"{template}: {error}") from error
        states[template] = _name(ALIYUN_STATES, body.get("TemplateStatus", 1))
    return _judge(states)


async def _tencent(account: Tencent, ids: set[str], pool: HttpPool) -> str:
    """Call DescribeSmsTemplateList for the templates, and SmsPackagesStatistics for the messages left in packages."""
    templates = sorted({*filter(None, (account.template,)), *ids})
    if invalid := [template for template in templates if not (template.isascii() and template.isdecimal())]:
        raise CallRefused(f"template {', '.join(invalid)} is no number, as all of Tencent's are; correct its id")
    wanted = {"International": 0, "TemplateIdSet": [int(template) for template in templates]}
    listed = await call_tencent(account, "DescribeSmsTemplateList", wanted, pool)
    known = {
        str(entry.get("TemplateId")): _name(TENCENT_STATES, entry.get("StatusCode"))
        for entry in read_objects(listed.get("DescribeTemplateStatusSet"))
    }
    summary = _judge({template: known.get(template, "unknown there") for template in templates})
    now = datetime.now(BEIJING)
    span = {"BeginTime": f"{now - BOUGHT_WITHIN:%Y%m%d%H}", "EndTime": f"{now:%Y%m%d%H}"}
    query = {"SmsSdkAppId": account.app_id, "Limit": MAX_PACKAGES, "Offset": 0, **span}
    packages = await call_tencent(account, "SmsPackagesStatistics", query, pool)
    left = [
        _read_whole(package.get("PackageAmount")) - _read_whole(package.get("CurrentUsage"))
        for package in read_objects(packages.get("SmsPackagesStatisticsSet"))
        if _read_whole(package.get("PackageExpiredTime")) > now.timestamp() or not package.get("PackageExpiredTime")
    ]
    return f"{summary}; {sum(left):,} left in its packages" if left else summary


async def _twilio(account: Twilio, pool: HttpPool) -> str:
    """Call Balance.json of the account (twilio.com/docs/usage/api/balance)."""
    key = account.key_secret or account.auth_token
    login = f"{account.key_sid or account.account_sid}:{key.get_secret_value()}".encode()
    headers = {"authorization": f"Basic {base64.b64encode(login).decode()}", "accept": "application/json"}
    url = f"{account.endpoint.rstrip('/')}/2010-04-01/Accounts/{quote(account.account_sid, safe='')}/Balance.json"
    answer = await pool.call("GET", url, headers)
    body = read_object(answer.content)
    if "balance" not in body:
        raise CallRefused(f"{body.get('code') or answer.status_code} {body.get('message') or ''}".strip())
    return f"the log-in works; balance {body['balance']} {body.get('currency', '')}".strip()


def _find_template_ids(sms: Sms, account: str) -> set[str]:
    """Return the ids of the account's templates that logical templates use."""
    ways = (template.providers.get(account) for template in sms.templates.values())
    return {way.id for way in ways if way is not None and way.id}


def _judge(states: Mapping[str, str]) -> str:
    """Return a summary if all templates are approved. Raises CallRefused if one is not."""
    if wrong := {template: state for template, state in states.items() if state != "approved"}:
        raise CallRefused(
            "the log-in works; template " + ", ".join(f"{template} is {state}" for template, state in wrong.items())
        )
    return f"the log-in works; {len(states)} templates approved" if states else "the log-in works"


def _name(states: Mapping[int, str], state: object) -> str:
    """Return the name of a template's state; an unlisted one as the provider writes it."""
    return states.get(state, str(state)) if isinstance(state, int) else str(state)


def _read_whole(value: object) -> int:
    """Return a JSON whole number; 0 if it is none."""
    return value if isinstance(value, int) else 0
