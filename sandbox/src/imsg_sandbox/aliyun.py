"""Aliyun's SMS service as far as senders meet it: SendSms, SendBatchSms, QuerySendDetails."""

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from imsg_sandbox.aliyun_reports import Reports
from imsg_sandbox.aliyun_rules import (
    BEIJING,
    MOST_CHARACTERS,
    MOST_NUMBERS,
    MOST_OUT_ID_BYTES,
    Form,
    Frequencies,
    Latest,
    Refusal,
    number,
    segments,
)
from imsg_sandbox.faults import Fault, Faults
from imsg_sandbox.inbox import Inbox, Received
from imsg_sandbox.magic import NUMBERS, NumberTrouble

METHOD = "sms"
MOST_OF_A_BATCH = 100
MOST_KEPT_OF_A_NUMBER = 1_000
NORMAL = NumberTrouble("")


@dataclass(frozen=True, slots=True)
class Sms:
    """One message of a call."""

    to: str
    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class Calling:
    """A call that was accepted."""

    identity: str
    own: str
    """The caller's own id."""
    template: str
    raw: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """What an account may send by."""

    signs: frozenset[str]
    forms: Mapping[str, Form]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer; cut where the connection ends instead."""

    content: Mapping[str, Any]
    cut: bool = False


@dataclass(slots=True)
class AliyunSms:
    """The service behind the signatures."""

    account: Account
    inbox: Inbox
    faults: Faults
    reports: Reports
    now: Callable[[], datetime]
    frequencies: Frequencies
    balance: int
    """Segments that are paid for."""
    name: str = "aliyun"
    """The account's, which the inbox shows."""
    _details: Latest[str, dict[str, Any]] = field(default_factory=Latest)
    """Number → what it got, newest first."""
    _tried: set[str] = field(default_factory=set)

    async def answer(self, action: str, given: Mapping[str, str], raw: bytes) -> Said:
        """Carry out an action."""
        try:
            match action:
                case "SendSms":
                    return await self._send(self._one(given), given, raw)
                case "SendBatchSms":
                    return await self._send(self._batch(given), given, raw)
                case "QuerySendDetails":
                    return Said(_ok(**self._list_details(given)))
                case "QuerySmsTemplate":
                    return Said(_ok(**self._show_template(given)))
        except Refusal as refusal:
            return Said(_wrong(refusal))
        return Said(_wrong(Refusal("InvalidAction.NotFound", "Specified api is not found.")))

    def _show_template(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Say how a template stands (help.aliyun.com/document_detail/121206.html). Raises Refusal."""
        name = _pick_wanted(given, "TemplateCode")["TemplateCode"]
        form = self.account.forms.get(name)
        if form is None:
            raise Refusal("isv.SMS_TEMPLATE_ILLEGAL", "该账号下找不到对应模板")
        return {"TemplateCode": name, "TemplateStatus": 1, "TemplateContent": form.text, "Reason": ""}

    def _one(self, given: Mapping[str, str]) -> list[Sms]:
        """Read SendSms. Raises Refusal."""
        wanted = _pick_wanted(given, "PhoneNumbers", "SignName", "TemplateCode")
        texts = wanted["PhoneNumbers"].split(",")
        if len(texts) > MOST_NUMBERS:
            raise Refusal("isv.MOBILE_COUNT_OVER_LIMIT", f"手机号码数量超过限制，最多{MOST_NUMBERS}个")
        text = self._text(wanted["SignName"], wanted["TemplateCode"], given.get("TemplateParam", ""))
        return [Sms(number(one), wanted["SignName"], text) for one in texts]

    def _batch(self, given: Mapping[str, str]) -> list[Sms]:
        """Read SendBatchSms. Raises Refusal."""
        wanted = _pick_wanted(given, "PhoneNumberJson", "SignNameJson", "TemplateCode")
        numbers, signs = _list(wanted["PhoneNumberJson"]), _list(wanted["SignNameJson"])
        params = _list(given.get("TemplateParamJson") or json.dumps([{}] * len(numbers)))
        if len(numbers) > MOST_OF_A_BATCH:
            raise Refusal("isv.MOBILE_COUNT_OVER_LIMIT", f"手机号码数量超过限制，最多{MOST_OF_A_BATCH}个")
        if not numbers or not len(numbers) == len(signs) == len(params):
            raise Refusal("isv.INVALID_PARAMETERS", "号码、签名、模板变量的个数须相同")
        return [
            Sms(number(str(to)), str(sign), self._text(str(sign), wanted["TemplateCode"], json.dumps(values)))
            for to, sign, values in zip(numbers, signs, params, strict=True)
        ]

    def _text(self, sign: str, template: str, params: str) -> str:
        if sign not in self.account.signs:
            raise Refusal("isv.SMS_SIGNATURE_ILLEGAL", "该账号下找不到对应签名")
        form = self.account.forms.get(template)
        if form is None:
            raise Refusal("isv.SMS_TEMPLATE_ILLEGAL", "该账号下找不到对应模板")
        text = f"【{sign}】{form.fill(params)}"
        if len(text) > MOST_CHARACTERS:
            raise Refusal("isv.PARAM_LENGTH_LIMIT", f"短信连同签名最多{MOST_CHARACTERS}个字符")
        return text

    async def _send(self, messages: Sequence[Sms], given: Mapping[str, str], raw: bytes) -> Said:
        own, template = given.get("OutId", ""), given["TemplateCode"]
        if len(own.encode()) > MOST_OUT_ID_BYTES:
            raise Refusal("isv.INVALID_PARAMETERS", "OutId过长")
        troubles = [NUMBERS.get(message.to, NORMAL) for message in messages]
        self._stumble(messages, troubles)
        form, now = self.account.forms[template], self.now()
        for sign in {message.sign for message in messages}:
            to = [message.to for message in messages if message.sign == sign]
            self.frequencies.check(sign, template, form, to, now)
        cost = sum(segments(message.text, message.to) for message in messages)
        if cost > self.balance:
            raise Refusal("isv.AMOUNT_NOT_ENOUGH", "账户余额不足")
        self.balance -= cost
        for message in messages:
            self.frequencies.count(message.sign, template, form, [message.to], now)
        await asyncio.sleep(max(trouble.wait_s for trouble in troubles))
        identity = f"{secrets.randbelow(10**12):012d}{now.timestamp():.0f}^0"
        calling = Calling(identity, own, template, raw, now)
        early: list[dict[str, Any]] = []
        late: list[dict[str, Any]] = []
        for message, trouble in zip(messages, troubles, strict=True):
            report = self._keep(message, trouble, calling, len(messages))
            if trouble.report is not None and not self.faults.strike(METHOD, Fault.LOST_RECEIPT):
                (early if trouble.early else late).append(report)
        await self.reports.push_now(early)
        self.reports.push(late)
        cut = any(trouble.cut for trouble in troubles) or self.faults.strike(METHOD, Fault.RESET_AFTER) is not None
        return Said(_ok(BizId=identity), cut=cut)

    def _stumble(self, messages: Sequence[Sms], troubles: Sequence[NumberTrouble]) -> None:
        """Refuse for a magic number. Raises Refusal."""
        for message, trouble in zip(messages, troubles, strict=True):
            if trouble.code is None:
                continue
            if trouble.once and message.to in self._tried:
                self._tried.discard(message.to)
                continue
            if trouble.once:
                self._tried.add(message.to)
            words = "触发分钟级流控Permits:1" if "LIMIT" in trouble.code else "手机号码格式错误"
            raise Refusal(trouble.code, words)

    def _keep(self, message: Sms, trouble: NumberTrouble, calling: Calling, sharing: int) -> dict[str, Any]:
        """Put a message into the inbox and the list of details; return its report."""
        at = f"{calling.at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"
        self.inbox.keep(
            Received(
                METHOD,
                message.to,
                message.sign,
                calling.raw,
                calling.at,
                text=message.text,
                sharing=sharing,
                provider=self.name,
            )
        )
        code = trouble.report or "DELIVERED"
        is_delivered = code == "DELIVERED"
        details = self._details[message.to]
        details.insert(
            0,
            {
                "PhoneNum": message.to,
                "SendStatus": 3 if is_delivered else 2,
                "ErrCode": code,
                "Content": message.text,
                "OutId": calling.own,
                "SendDate": at,
                "ReceiveDate": at,
                "TemplateCode": calling.template,
            },
        )
        del details[MOST_KEPT_OF_A_NUMBER:]
        return {
            "phone_number": message.to,
            "send_time": at,
            "report_time": at,
            "success": is_delivered,
            "err_code": code,
            "err_msg": "用户接收成功" if is_delivered else "用户未接收",
            "sms_size": str(segments(message.text, message.to)),
            "biz_id": calling.identity,
            "out_id": calling.own,
        }

    def _list_details(self, given: Mapping[str, str]) -> dict[str, Any]:
        """List what one number was sent on a day, newest first. Raises Refusal."""
        wanted = _pick_wanted(given, "PhoneNumber", "SendDate", "PageSize", "CurrentPage")
        try:
            day = datetime.strptime(wanted["SendDate"], "%Y%m%d").date()  # noqa: DTZ007  a day of Beijing
            size, page = int(wanted["PageSize"]), int(wanted["CurrentPage"])
        except ValueError:
            raise Refusal("isv.INVALID_PARAMETERS", "SendDate、PageSize或CurrentPage格式错误") from None
        if not 1 <= size <= 50 or page < 1:  # noqa: PLR2004  the provider's own bound
            raise Refusal("isv.INVALID_PARAMETERS", "PageSize须为1至50，CurrentPage从1开始")
        to = number(wanted["PhoneNumber"])
        found = [one for one in self._details.get(to, ()) if one["SendDate"].startswith(f"{day:%Y-%m-%d}")]
        shown = found[(page - 1) * size : page * size]
        return {"TotalCount": len(found), "SmsSendDetailDTOs": {"SmsSendDetailDTO": shown}}


def _pick_wanted(given: Mapping[str, str], *names: str) -> dict[str, str]:
    for name in names:
        if not given.get(name):
            raise Refusal(f"Missing{name}", f"{name} is mandatory for this action.")
    return {name: given[name] for name in names}


def _list(text: str) -> list[Any]:
    try:
        read = json.loads(text)
    except ValueError:
        read = None
    if not isinstance(read, list):
        raise Refusal("isv.INVALID_JSON_PARAM", "参数格式错误，须为JSON数组")
    return read


def _ok(**more: object) -> dict[str, Any]:
    return {"RequestId": request_id(), "Code": "OK", "Message": "OK", **more}


def _wrong(refusal: Refusal) -> dict[str, Any]:
    return {"RequestId": request_id(), "Code": refusal.code, "Message": refusal.message}


def request_id() -> str:
    """Make an id as the provider's look."""
    digits = secrets.token_hex(16).upper()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
