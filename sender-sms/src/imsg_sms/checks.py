"""Checks of accounts that send nothing: the log-in, the state of templates, the balance."""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from imsg_sms.providers import aliyun_signature, tencent_signature
from imsg_sms.providers.meanings import BEIJING
from imsg_sms.settings import Aliyun, AnyAccount, Sms, Tencent, Twilio
from imsg_web.http_pool import HttpPool, NoAnswer, NotSent

OK = "OK"

MOST_PACKAGES = 500
BOUGHT_WITHIN = timedelta(days=3 * 365)
"""SmsPackagesStatistics lists by when a package was bought, at most 500 (tencentcloud-sdk-python-sms 3.1.153); none is
good for longer."""

ALIYUN_STATES = {0: "in review", 1: "approved", 2: "rejected", 10: "withdrawn"}
"""TemplateStatus of QuerySmsTemplate (help.aliyun.com/document_detail/121206.html); unverified against the real one."""

TENCENT_STATES = {0: "approved", 1: "in review", -1: "rejected"}
"""StatusCode of DescribeSmsTemplateList (cloud.tencent.com/document/api/382/52067); unverified likewise."""


@dataclass(frozen=True, slots=True)
class ProviderCheck:
    """The outcome of a check; `is_well` is None where nothing can be checked without sending."""

    provider: str
    is_well: bool | None
    said: str


JsonObject = Mapping[str, Any]


class CheckFailed(Exception):  # noqa: N818  an answer
    """The check failed; the text is the provider's own."""


async def check(sms: Sms, pool: HttpPool) -> list[ProviderCheck]:
    """Ask the provider of every account that is used."""
    found = []
    for name, account in sms.used.items():
        try:
            said = await _ask(account, _ids(sms, name), pool)
        except CheckFailed as error:
            found.append(ProviderCheck(name, is_well=False, said=str(error)))
        except NotSent as error:
            found.append(ProviderCheck(name, is_well=False, said=f"it can't be reached: {error}"))
        except NoAnswer as error:
            found.append(ProviderCheck(name, is_well=False, said=f"it did not answer: {error}"))
        else:
            nothing = "configured; it has no call that sends nothing and is known to us"
            found.append(ProviderCheck(name, None if said is None else True, said or nothing))
    return found


async def _ask(account: AnyAccount, ids: set[str], pool: HttpPool) -> str | None:
    """Ask by the log-in of an account for its templates and what is left; None where there is nothing to ask.

    Raises CheckFailed, NotSent, NoAnswer.
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
    """QuerySmsTemplate of each template; a wrong key is refused like everywhere."""
    parts = urlsplit(account.endpoint)
    states = {}
    for template in sorted({account.template, *account.templates, *ids}):
        parameters = {"TemplateCode": template}
        request = aliyun_signature.Request(
            "POST",
            parts.netloc.rpartition("@")[2],
            "QuerySmsTemplate",
            "2017-05-25",
            parameters,
            path=parts.path or "/",
        )
        signed = aliyun_signature.headers(
            request,
            account.access_key_id,
            account.access_key_secret.get_secret_value(),
            now=datetime.now(UTC),
            nonce=secrets.token_hex(16),
        )
        url = f"{parts.scheme}://{request.host}{request.path}?{aliyun_signature.encode(parameters)}"
        said = _read((await pool.call("POST", url, {**signed, "accept": "application/json"}, b"")).content)
        if said.get("Code") != OK:
            raise CheckFailed(f"{template}: {said.get('Code')} {said.get('Message')}")
        states[template] = _name(ALIYUN_STATES, said.get("TemplateStatus", 1))
    return _judge(states)


async def _tencent(account: Tencent, ids: set[str], pool: HttpPool) -> str:
    """DescribeSmsTemplateList of our templates, and SmsPackagesStatistics of its packages: what is left."""
    templates = sorted({*filter(None, (account.template,)), *ids})
    if odd := [one for one in templates if not (one.isascii() and one.isdecimal())]:
        raise CheckFailed(f"template {', '.join(odd)} is no number, as all of Tencent's are; correct its id")

    async def call(action: str, asked: JsonObject) -> JsonObject:
        parts = urlsplit(account.endpoint)
        body = json.dumps(asked).encode()
        request = tencent_signature.Request(
            parts.netloc.rpartition("@")[2], "sms", action, "2021-01-11", body, parts.path or "/"
        )
        key = account.secret_key.get_secret_value()
        signed = tencent_signature.headers(
            request, account.secret_id, key, now=datetime.now(UTC), region=account.region
        )
        said = _read((await pool.call("POST", f"{parts.scheme}://{request.host}{request.path}", signed, body)).content)
        response = said.get("Response")
        if not isinstance(response, dict):
            raise CheckFailed("it answers what can't be read")
        if isinstance(error := response.get("Error"), dict):
            raise CheckFailed(f"{error.get('Code')} {error.get('Message')}")
        return response

    listed = await call(
        "DescribeSmsTemplateList", {"International": 0, "TemplateIdSet": [int(one) for one in templates]}
    )
    known = {
        str(one.get("TemplateId")): _name(TENCENT_STATES, one.get("StatusCode"))
        for one in _objects(listed.get("DescribeTemplateStatusSet"))
    }
    said = _judge({one: known.get(one, "unknown there") for one in templates})
    now = datetime.now(BEIJING)
    span = {"BeginTime": f"{now - BOUGHT_WITHIN:%Y%m%d%H}", "EndTime": f"{now:%Y%m%d%H}"}
    asked = {"SmsSdkAppId": account.app_id, "Limit": MOST_PACKAGES, "Offset": 0, **span}
    packages = await call("SmsPackagesStatistics", asked)
    left = [
        _whole(one.get("PackageAmount")) - _whole(one.get("CurrentUsage"))
        for one in _objects(packages.get("SmsPackagesStatisticsSet"))
        if _whole(one.get("PackageExpiredTime")) > now.timestamp() or not one.get("PackageExpiredTime")
    ]
    return f"{said}; {sum(left):,} left in its packages" if left else said


async def _twilio(account: Twilio, pool: HttpPool) -> str:
    """Balance.json of the account (twilio.com/docs/usage/api/balance)."""
    key = account.key_secret or account.auth_token
    login = f"{account.key_sid or account.account_sid}:{key.get_secret_value()}".encode()
    headers = {"authorization": f"Basic {base64.b64encode(login).decode()}", "accept": "application/json"}
    url = f"{account.endpoint.rstrip('/')}/2010-04-01/Accounts/{quote(account.account_sid, safe='')}/Balance.json"
    answer = await pool.call("GET", url, headers)
    said = _read(answer.content)
    if "balance" not in said:
        raise CheckFailed(f"{said.get('code') or answer.status_code} {said.get('message') or ''}".strip())
    return f"the log-in works; balance {said['balance']} {said.get('currency', '')}".strip()


def _ids(sms: Sms, account: str) -> set[str]:
    """Name the account's templates that logical ones go by."""
    ways = (template.providers.get(account) for template in sms.templates.values())
    return {way.id for way in ways if way is not None and way.id}


def _judge(states: Mapping[str, str]) -> str:
    """Say that all are approved. Raises CheckFailed where one is not."""
    if wrong := {template: state for template, state in states.items() if state != "approved"}:
        raise CheckFailed(
            "the log-in works; template " + ", ".join(f"{one} is {state}" for one, state in wrong.items())
        )
    return f"the log-in works; {len(states)} templates approved" if states else "the log-in works"


def _name(states: Mapping[int, str], state: object) -> str:
    """Name a template's state; one that nobody listed as the provider writes it."""
    return states.get(state, str(state)) if isinstance(state, int) else str(state)


def _objects(listed: object) -> list[JsonObject]:
    """Take the objects of a list that a provider answered."""
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _whole(value: object) -> int:
    """Read a whole number that a provider answered; 0 where it is none."""
    return value if isinstance(value, int) else 0


def _read(body: bytes) -> JsonObject:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
