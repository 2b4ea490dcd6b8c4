"""Aliyun's SMS service as senders use it: sending, its details, templates, signatures."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from imsg_sandbox.aliyun_rules import (
    MAX_CHARACTERS,
    MAX_NUMBERS,
    MAX_OUT_ID_BYTES,
    BoundedLists,
    Frequencies,
    count_segments,
    fill,
    read_number,
)
from imsg_sandbox.approved_templates import UNFILED, ApprovedTemplate, show_number
from imsg_sandbox.http_faults import BrokenResponse
from imsg_sandbox.signatures import AuthenticationError, Authenticator, Call, escape
from imsg_sandbox.sms_callbacks import Callback, json_callback
from imsg_sandbox.sms_provider import BEIJING, Refusal, Sms, SmsContext, SmsProvider
from imsg_web.responses import ApiResponse

MAX_BATCH = 100
PASSED = "AUDIT_STATE_PASS"
MAX_DETAILS_PER_NUMBER = 1_000
MAX_REPORTS_PER_PUSH = 100

REPEATS_MIN = (1, 5, 10)
"""Minutes between the attempts of an unacknowledged push; after the last it is dropped."""

CODES: Mapping[str, str] = {code: code for code in ("isv.MOBILE_NUMBER_ILLEGAL", "isv.BUSINESS_LIMIT_CONTROL")}


@dataclass(frozen=True, slots=True)
class Account:
    """What an account may send by."""

    secrets: Mapping[str, str]
    """Access key id → secret."""
    signatures: frozenset[str]
    approved: Mapping[str, ApprovedTemplate]
    hook: str | None = None


@dataclass(slots=True)
class AliyunLimits:
    """Limits of the sandbox's settings, for all accounts."""

    frequencies: Frequencies
    balance: int
    """Segments that are paid for, for each account."""
    minute_s: float
    """How long a minute of REPEATS_MIN lasts."""


class AliyunSms(SmsProvider):
    """The service."""

    codes = CODES

    def __init__(self, name: str, account: Account, context: SmsContext, limits: AliyunLimits) -> None:
        super().__init__(name, context)
        self.account = account
        self._authenticator = Authenticator(account.secrets, self.now)
        self._frequencies = limits.frequencies
        self._balance = limits.balance
        self._repeats_s = [minutes * limits.minute_s for minutes in REPEATS_MIN]
        self._details: BoundedLists[str, dict[str, Any]] = BoundedLists()
        """Number → its messages, newest first."""

    async def answer(self, call: Call) -> Response:
        """Answer a signed call."""
        try:
            action = self._authenticator.check(call)
        except AuthenticationError as error:
            content = {"RequestId": _request_id(), "HostId": call.headers.get("host", "")}
            return ApiResponse({**content, "Code": error.code, "Message": error.message}, error.status)
        raw = call.body or "&".join(f"{escape(name)}={escape(value)}" for name, value in call.query).encode()
        content, is_cut = await self.perform(action, call.parameters, raw)
        return BrokenResponse() if is_cut else ApiResponse(content)

    async def perform(self, action: str, params: Mapping[str, str], raw: bytes) -> tuple[dict[str, Any], bool]:
        """Perform an action; return its answer, and whether the connection breaks instead."""
        try:
            match action:
                case "SendSms":
                    return await self._send(self._read_one(params, raw), params)
                case "SendBatchSms":
                    return await self._send(self._read_batch(params, raw), params)
                case _:
                    return _ok(**self._answer_query(action, params)), False
        except Refusal as refusal:
            return _refuse(refusal.code, refusal.message), False

    def _answer_query(self, action: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Answer an action that sends nothing. Raises Refusal."""
        match action:
            case "QuerySendDetails":
                return self._list_details(params)
            case "QuerySmsTemplate":
                return self._show_template(params)
            case "QuerySmsTemplateList":
                rows = [self._list_template(name) for name in sorted(self.account.approved)]
                return _page("SmsTemplateList", rows, params)
            case "QuerySmsSignList":
                rows = [{"SignName": sign, "AuditStatus": PASSED} for sign in sorted(self.account.signatures)]
                return _page("SmsSignList", rows, params)
            case "GetSmsSign":
                return self._show_signature(params)
        raise Refusal("InvalidAction.NotFound", "Specified api is not found.")

    def make_reply(self, number: str, text: str, sender: str) -> Callback | None:
        """Return a push of SmsUp, a list of one."""
        reply = {
            "phone_number": show_number(number),
            "send_time": f"{self.now().astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
            "content": text,
            "sign_name": sender,
            "dest_code": "10690000",
            "sequence_id": secrets.randbelow(10**12),
        }
        return json_callback(self.account.hook, [reply], "code")

    def _show_template(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the status of a template (help.aliyun.com/document_detail/121206.html). Raises Refusal."""
        name = _require(params, "TemplateCode")["TemplateCode"]
        approved = self.account.approved.get(name)
        if approved is None:
            raise Refusal("isv.SMS_TEMPLATE_ILLEGAL", "该账号下找不到对应模板")
        return {"TemplateCode": name, "TemplateStatus": 1, "TemplateContent": approved.text, "Reason": ""}

    def _list_template(self, name: str) -> dict[str, Any]:
        text = self.account.approved[name].text
        return {"TemplateCode": name, "TemplateName": name, "TemplateContent": text, "AuditStatus": PASSED}

    def _show_signature(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Return a signature with its filing (help.aliyun.com/document_detail/2807429.html). Raises Refusal."""
        name = _require(params, "SignName")["SignName"]
        if name not in self.account.signatures:
            raise Refusal("isv.SMS_SIGNATURE_ILLEGAL", "该账号下找不到对应签名")
        state, reason = (-2, "UNBINDING_QUA") if UNFILED in name else (3, "DETECT_SUCCESS")
        filing = {"RegisterStatus": state, "RegisterStatusReasons": [{"ReasonCode": reason, "ReasonDescList": []}]}
        carriers = [{"OperatorCode": carrier, **filing} for carrier in ("mobile", "unicom", "telecom")]
        return {"SignName": name, "SignStatus": 1, "SignIspRegisterDetailList": carriers}

    def _read_one(self, params: Mapping[str, str], raw: bytes) -> list[Sms]:
        """Read SendSms. Raises Refusal."""
        wanted = _require(params, "PhoneNumbers", "SignName", "TemplateCode")
        texts = wanted["PhoneNumbers"].split(",")
        if len(texts) > MAX_NUMBERS:
            raise Refusal("isv.MOBILE_COUNT_OVER_LIMIT", f"手机号码数量超过限制，最多{MAX_NUMBERS}个")
        text = self._make_text(wanted["SignName"], wanted["TemplateCode"], params.get("TemplateParam", ""))
        return [Sms(read_number(number), wanted["SignName"], text, raw) for number in texts]

    def _read_batch(self, params: Mapping[str, str], raw: bytes) -> list[Sms]:
        """Read SendBatchSms. Raises Refusal."""
        wanted = _require(params, "PhoneNumberJson", "SignNameJson", "TemplateCode")
        numbers, signs = _read_list(wanted["PhoneNumberJson"]), _read_list(wanted["SignNameJson"])
        values = _read_list(params.get("TemplateParamJson") or json.dumps([{}] * len(numbers)))
        if len(numbers) > MAX_BATCH:
            raise Refusal("isv.MOBILE_COUNT_OVER_LIMIT", f"手机号码数量超过限制，最多{MAX_BATCH}个")
        if not numbers or not len(numbers) == len(signs) == len(values):
            raise Refusal("isv.INVALID_PARAMETERS", "号码、签名、模板变量的个数须相同")
        return [
            Sms(
                read_number(str(to)),
                str(sign),
                self._make_text(str(sign), wanted["TemplateCode"], json.dumps(params)),
                raw,
            )
            for to, sign, params in zip(numbers, signs, values, strict=True)
        ]

    def _make_text(self, sign: str, template: str, params: str) -> str:
        if sign not in self.account.signatures:
            raise Refusal("isv.SMS_SIGNATURE_ILLEGAL", "该账号下找不到对应签名")
        approved = self.account.approved.get(template)
        if approved is None:
            raise Refusal("isv.SMS_TEMPLATE_ILLEGAL", "该账号下找不到对应模板")
        text = f"【{sign}】{fill(approved, params)}"
        if len(text) > MAX_CHARACTERS:
            raise Refusal("isv.PARAM_LENGTH_LIMIT", f"短信连同签名最多{MAX_CHARACTERS}个字符")
        return text

    async def _send(self, messages: Sequence[Sms], params: Mapping[str, str]) -> tuple[dict[str, Any], bool]:
        out_id, template = params.get("OutId", ""), params["TemplateCode"]
        if len(out_id.encode()) > MAX_OUT_ID_BYTES:
            raise Refusal("isv.INVALID_PARAMETERS", "OutId过长")
        for sms in messages:
            if (code := self.magic.refuse(sms.to)) is not None:
                raise Refusal(code, "触发分钟级流控Permits:1" if "LIMIT" in code else "手机号码格式错误")
        now = self.now()
        self._charge(messages, template, now)
        accepted = await self.accept(messages)
        biz_id = f"{secrets.randbelow(10**12):012d}{now.timestamp():.0f}^0"
        by_number = {}
        for sms in messages:
            self._add_details(sms, template, out_id, now)
            by_number[sms.to] = sms
        early, late = (
            [_report(by_number[number], code, biz_id, out_id, now) for number, code in receipts]
            for receipts in (accepted.early, accepted.late)
        )
        if callback := self._callback(early):
            await self.callbacks.push_now(callback)
        for first in range(0, len(late), MAX_REPORTS_PER_PUSH):
            if callback := self._callback(late[first : first + MAX_REPORTS_PER_PUSH]):
                self.callbacks.push(callback)
        return _ok(BizId=biz_id), accepted.is_cut

    def _charge(self, messages: Sequence[Sms], template: str, now: datetime) -> None:
        """Check and count the frequencies and the balance. Raises Refusal for the whole call."""
        approved = self.account.approved[template]
        for sign in {sms.sender for sms in messages}:
            numbers = [sms.to for sms in messages if sms.sender == sign]
            self._frequencies.check(sign, template, approved, numbers, now)
        cost = sum(count_segments(sms.text, sms.to) for sms in messages)
        if cost > self._balance:
            raise Refusal("isv.AMOUNT_NOT_ENOUGH", "账户余额不足")
        self._balance -= cost
        for sms in messages:
            self._frequencies.count(sms.sender, template, approved, [sms.to], now)

    def _callback(self, reports: Sequence[Mapping[str, Any]]) -> Callback | None:
        return json_callback(self.account.hook, reports, "code", self._repeats_s)

    def _add_details(self, sms: Sms, template: str, out_id: str, now: datetime) -> None:
        """Add a message to those that QuerySendDetails returns."""
        code, at = self.magic.find(sms.to).report or "DELIVERED", _write_time(now)
        details = self._details[sms.to]
        details.insert(
            0,
            {
                "PhoneNum": sms.to,
                "SendStatus": 3 if code == "DELIVERED" else 2,
                "ErrCode": code,
                "Content": sms.text,
                "OutId": out_id,
                "SendDate": at,
                "ReceiveDate": at,
                "TemplateCode": template,
            },
        )
        del details[MAX_DETAILS_PER_NUMBER:]

    def _list_details(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the messages of one number on a day, newest first. Raises Refusal."""
        wanted = _require(params, "PhoneNumber", "SendDate", "PageSize", "CurrentPage")
        try:
            day = datetime.strptime(wanted["SendDate"], "%Y%m%d").date()  # noqa: DTZ007  a day of Beijing
            size, page = int(wanted["PageSize"]), int(wanted["CurrentPage"])
        except ValueError:
            raise Refusal("isv.INVALID_PARAMETERS", "SendDate、PageSize或CurrentPage格式错误") from None
        if not 1 <= size <= 50 or page < 1:  # noqa: PLR2004  the provider's own bound
            raise Refusal("isv.INVALID_PARAMETERS", "PageSize须为1至50，CurrentPage从1开始")
        number = read_number(wanted["PhoneNumber"])
        details = [row for row in self._details.get(number, ()) if row["SendDate"].startswith(f"{day:%Y-%m-%d}")]
        rows = details[(page - 1) * size : page * size]
        return {"TotalCount": len(details), "SmsSendDetailDTOs": {"SmsSendDetailDTO": rows}}


def _require(params: Mapping[str, str], *names: str) -> dict[str, str]:
    for name in names:
        if not params.get(name):
            raise Refusal(f"Missing{name}", f"{name} is mandatory for this action.")
    return {name: params[name] for name in names}


def _page(field: str, rows: Sequence[Mapping[str, Any]], params: Mapping[str, str]) -> dict[str, Any]:
    """Return one page of a list. Raises Refusal."""
    try:
        size, page = int(params.get("PageSize") or 10), int(params.get("PageIndex") or 1)
    except ValueError:
        raise Refusal("isv.INVALID_PARAMETERS", "PageSize或PageIndex格式错误") from None
    if not 1 <= size <= 50 or page < 1:  # noqa: PLR2004  the provider's own bound
        raise Refusal("isv.INVALID_PARAMETERS", "PageSize须为1至50，PageIndex从1开始")
    shown = rows[(page - 1) * size : page * size]
    return {field: shown, "TotalCount": len(rows), "CurrentPage": page, "PageSize": size}


def _read_list(text: str) -> list[Any]:
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, list):
        raise Refusal("isv.INVALID_JSON_PARAM", "参数格式错误，须为JSON数组")
    return values


def _report(sms: Sms, code: str, biz_id: str, out_id: str, now: datetime) -> dict[str, Any]:
    is_delivered, at = code == "DELIVERED", _write_time(now)
    return {
        "phone_number": sms.to,
        "send_time": at,
        "report_time": at,
        "success": is_delivered,
        "err_code": code,
        "err_msg": "用户接收成功" if is_delivered else "用户未接收",
        "sms_size": str(count_segments(sms.text, sms.to)),
        "biz_id": biz_id,
        "out_id": out_id,
    }


def _write_time(at: datetime) -> str:
    return f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"


def _ok(**more: object) -> dict[str, Any]:
    return {"RequestId": _request_id(), "Code": "OK", "Message": "OK", **more}


def _refuse(code: str, message: str) -> dict[str, Any]:
    return {"RequestId": _request_id(), "Code": code, "Message": message}


def _request_id() -> str:
    """Return an id in the provider's form."""
    digits = secrets.token_hex(16).upper()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
