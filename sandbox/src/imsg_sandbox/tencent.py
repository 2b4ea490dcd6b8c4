"""Tencent Cloud's SMS service as senders use it: signed calls, a result for each number, receipts pushed or pulled."""

import hashlib
import re
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from imsg_contract.constant_time import equals
from imsg_sandbox.approved_templates import UNFILED, ApprovedTemplate, has_link, read_number
from imsg_sandbox.http_faults import BrokenResponse
from imsg_sandbox.signatures import Call, sign_scoped
from imsg_sandbox.sms_callbacks import Callback, json_callback
from imsg_sandbox.sms_provider import BEIJING, Refusal, Sms, SmsContext, SmsProvider, read_object
from imsg_web.responses import ApiResponse

ALGORITHM = "TC3-HMAC-SHA256"
WINDOW_S = 300
VERSION = "2021-01-11"
MAX_NUMBERS = 200
MAX_PULLED = 100
MAX_KEPT = 10_000
MAX_LISTED = 100
PACKAGE = 10_000
"""Segments of the package that is paid for."""

CODES: Mapping[str, str] = {
    "isv.MOBILE_NUMBER_ILLEGAL": "InvalidParameterValue.IncorrectPhoneNumber",
    "isv.BUSINESS_LIMIT_CONTROL": "LimitExceeded.PhoneNumberThirtySecondLimit",
}

_STAMP = re.compile("[0-9]{1,12}")
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=([^/]+)/([0-9-]+)/([a-z]+)/tc3_request, *SignedHeaders=([^,]+), *Signature=([0-9a-f]+)"
)


@dataclass(frozen=True, slots=True)
class Account:
    """The account that is played."""

    secrets: Mapping[str, str]
    """Secret id → key."""
    app_id: str
    signatures: frozenset[str]
    approved: Mapping[str, ApprovedTemplate]
    hook: str | None
    pull: bool


class TencentSms(SmsProvider):
    """The service."""

    codes = CODES

    def __init__(self, name: str, account: Account, context: SmsContext) -> None:
        super().__init__(name, context)
        self.account = account
        self._used = 0
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MAX_KEPT)
        self._replies: deque[dict[str, Any]] = deque(maxlen=MAX_KEPT)

    async def answer(self, call: Call) -> Response:
        """Answer a call."""
        try:
            action = self._authenticate(call)
            if action == "SendSms":
                return await self._send(_read(call.body), call.body)
            return _write(self._perform(action, call))
        except Refusal as refusal:
            return _write({"Error": {"Code": refusal.code, "Message": refusal.message}})

    def _perform(self, action: str, call: Call) -> dict[str, Any]:
        """Answer an action that sends nothing. Raises Refusal."""
        match action:
            case "PullSmsSendStatus":
                return {"PullSmsSendStatusSet": self._pull(_read(call.body), self._waiting)}
            case "PullSmsReplyStatus":
                return {"PullSmsReplyStatusSet": self._pull(_read(call.body), self._replies)}
            case "DescribeSmsTemplateList":
                return {"DescribeTemplateStatusSet": self._list_templates(_read(call.body))}
            case "DescribeSmsSignList":
                return {"DescribeSignListStatusSet": self._list_signatures(_read(call.body))}
            case "SmsPackagesStatistics":
                return {"SmsPackagesStatisticsSet": self._list_packages(_read(call.body))}
        raise Refusal("InvalidAction", "The request action is invalid or not found.")

    def _authenticate(self, call: Call) -> str:
        """Check the signature of a call; return its action. Raises Refusal."""
        match = _AUTHORIZATION.fullmatch(call.headers.get("authorization", "").strip())
        if match is None:
            raise Refusal("AuthFailure.InvalidAuthorization", "The Authorization header is not as TC3 wants it.")
        key_id, date, service, names, signature = match.groups()
        key = self.account.secrets.get(key_id)
        if key is None:
            raise Refusal("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
        stamp = call.headers.get("x-tc-timestamp", "")
        if not _STAMP.fullmatch(stamp) or abs(self.now().timestamp() - int(stamp)) > WINDOW_S:
            raise Refusal("AuthFailure.SignatureExpire", "The time stamp is over five minutes off.")
        if f"{datetime.fromtimestamp(int(stamp), UTC):%Y-%m-%d}" != date or service != "sms":
            raise Refusal("AuthFailure.SignatureFailure", "The date has to be UTC's, and the service sms.")
        if not {"content-type", "host"} <= set(names.split(";")):
            raise Refusal("AuthFailure.SignatureFailure", "content-type and host have to be signed.")
        paths = dict.fromkeys((call.path, "/"))
        if not any(equals(signature, sign(call, names, key, stamp, path)) for path in paths):
            raise Refusal("AuthFailure.SignatureFailure", "The provided credentials could not be validated.")
        if call.headers.get("x-tc-version") != VERSION:
            raise Refusal("NoSuchVersion", "The API version does not exist.")
        return call.headers.get("x-tc-action", "")

    async def _send(self, body: Mapping[str, Any], raw: bytes) -> Response:
        numbers, text = self._check(body)
        context, now = str(body.get("SessionContext") or ""), self.now()
        entries: list[dict[str, Any]] = []
        serials: dict[str, str] = {}
        for to in numbers:
            number = read_number(to)
            code = "InvalidParameterValue.IncorrectPhoneNumber" if number is None else self.magic.refuse(number)
            serial = f"{secrets.token_hex(8)}:{now.timestamp():.0f}"
            entries.append(_entry(to, code, serial, context))
            if number is not None and code is None:
                serials[number] = serial
        self._used += len(serials)
        accepted = await self.accept([Sms(number, str(body["SignName"]), text, raw) for number in serials])
        early, late = (
            [_report(number, serials[number], code, context, now) for number, code in receipts]
            for receipts in (accepted.early, accepted.late)
        )
        if self.account.pull:
            self._waiting.extend([*early, *late])
        else:
            await self.push(_callback(self.account.hook, early), _callback(self.account.hook, late))
        return BrokenResponse() if accepted.is_cut else _write({"SendStatusSet": entries})

    def _check(self, body: Mapping[str, Any]) -> tuple[Sequence[str], str]:
        """Check a call; return its numbers and its text. Raises Refusal."""
        numbers = body.get("PhoneNumberSet")
        if not isinstance(numbers, list) or not numbers or not all(isinstance(number, str) for number in numbers):
            raise Refusal("MissingParameter", "PhoneNumberSet is missing.")
        if len(numbers) > MAX_NUMBERS:
            raise Refusal("LimitExceeded.PhoneNumberCountLimit", f"At most {MAX_NUMBERS} numbers a call.")
        valid = [number for text in numbers if (number := read_number(text)) is not None]
        domestic = sum(number.startswith("+86") for number in valid)
        if 0 < domestic < len(valid):
            raise Refusal(
                "UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber", "Numbers of both in one call."
            )
        if body.get("SmsSdkAppId") != self.account.app_id:
            raise Refusal("InvalidParameterValue.SdkAppIdNotExist", "SmsSdkAppId does not exist.")
        if domestic and body.get("SignName") not in self.account.signatures:
            raise Refusal("FailedOperation.SignatureIncorrectOrUnapproved", "The signature is not approved.")
        template = self.account.approved.get(str(body.get("TemplateId")))
        if template is None:
            raise Refusal("FailedOperation.TemplateIncorrectOrUnapproved", "The template is not approved.")
        values = body.get("TemplateParamSet") or []
        if not isinstance(values, list) or len(values) != len(template.variables):
            raise Refusal(
                "FailedOperation.TemplateParamSetNotMatchApprovedTemplate",
                f"The template has {len(template.variables)} variables.",
            )
        if any(template.is_too_long(value) for value in values):
            raise Refusal(
                "InvalidParameterValue.TemplateParameterLengthLimit", f"At most {template.longest} characters."
            )
        if any(has_link(value) for value in values):
            raise Refusal("InvalidParameterValue.ProhibitedUseUrlInTemplateParameter", "A variable holds a link.")
        return numbers, f"【{body.get('SignName', '')}】{template.fill(values)}"

    def _list_templates(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the named templates that exist, or a page of all (cloud.tencent.com/document/api/382/52067)."""
        wanted, first = body.get("TemplateIdSet"), int(body.get("Offset", 0))
        page = list(self.account.approved)[first : first + int(body.get("Limit", 10))]
        names = [str(name) for name in wanted] if isinstance(wanted, list) and wanted else page
        return [
            {
                "TemplateId": int(name),
                "International": 0,
                "StatusCode": 0,
                "TemplateContent": _number_variables(template),
            }
            for name in names
            if (template := self.account.approved.get(name)) is not None
        ]

    def _list_signatures(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the signatures (cloud.tencent.com/document/api/382/52068), whose state includes their filing."""
        rows = [
            {
                "SignId": number,
                "SignName": sign,
                "International": 0,
                "StatusCode": -1 if UNFILED in sign else 0,
                "ReviewReply": "未完成首次报备" if UNFILED in sign else "",
            }
            for number, sign in enumerate(sorted(self.account.signatures), 1)
        ]
        first = int(body.get("Offset") or 0)
        return rows[first : first + min(int(body.get("Limit") or 10), MAX_LISTED)]

    def _list_packages(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the one package that is paid for (cloud.tencent.com/document/api/382/55982). Raises Refusal."""
        if body.get("SmsSdkAppId") != self.account.app_id:
            raise Refusal("InvalidParameterValue.SdkAppIdNotExist", "SmsSdkAppId does not exist.")
        return [{"PackageId": 1, "PackageAmount": PACKAGE, "CurrentUsage": self._used}]

    def make_reply(self, number: str, text: str, sender: str) -> Callback | None:
        """Return a push of one object; where the account pulls, keep it until it is fetched."""
        country, national = _split(number)
        at = int(self.now().timestamp())
        if self.account.pull:
            self._replies.append(
                {
                    "ExtendCode": "", "CountryCode": country, "PhoneNumber": number, "SignName": sender,
                    "ReplyContent": text, "ReplyTime": at, "SubscriberNumber": national,
                }
            )  # fmt: skip
            return None
        reply = {"extend": "", "mobile": national, "nationcode": country, "sign": sender, "text": text, "time": at}
        return json_callback(self.account.hook, reply, "result")

    def _pull(self, body: Mapping[str, Any], waiting: deque[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return receipts or replies, each once. Raises Refusal."""
        if body.get("SmsSdkAppId") != self.account.app_id:
            raise Refusal("InvalidParameterValue.SdkAppIdNotExist", "SmsSdkAppId does not exist.")
        if not self.account.pull:
            raise Refusal("FailedOperation.NotEnterpriseCertification", "Pulling is not enabled for this account.")
        count = min(int(body.get("Limit") or 0), MAX_PULLED, len(waiting))
        entries = [waiting.popleft() for _ in range(count)]
        return entries if waiting is self._replies else [_write_pulled(entry) for entry in entries]


def sign(call: Call, names: str, key: str, stamp: str, path: str) -> str:
    """Compute TC3's signature of a call over the headers that it says are signed."""
    lines = ""
    for name in names.split(";"):
        value = call.headers.get(name, "").strip()
        lines += f"{name}:{value.lower() if name == 'x-tc-action' else value}\n"
    digest = hashlib.sha256(call.body).hexdigest()
    canonical = f"{call.method}\n{path}\n\n{lines}\n{names}\n{digest}"
    date = f"{datetime.fromtimestamp(int(stamp), UTC):%Y-%m-%d}"
    to_sign = f"{ALGORITHM}\n{stamp}\n{date}/sms/tc3_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return sign_scoped(f"TC3{key}", (date, "sms", "tc3_request"), to_sign)


def _read(body: bytes) -> Mapping[str, Any]:
    return read_object(body, "FailedOperation.JsonParseFail")


def _entry(number: str, code: str | None, serial: str, context: str) -> dict[str, Any]:
    return {
        "SerialNo": "" if code else serial,
        "PhoneNumber": number,
        "Fee": 0 if code else 1,
        "SessionContext": context,
        "Code": code or "Ok",
        "Message": "refused" if code else "send success",
        "IsoCode": "CN",
    }


def _report(number: str, serial: str, code: str, context: str, at: datetime) -> dict[str, Any]:
    is_delivered, (country, national) = code == "DELIVERED", _split(number)
    return {
        "user_receive_time": f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
        "nationcode": country,
        "mobile": national,
        "report_status": "SUCCESS" if is_delivered else "FAIL",
        "errmsg": "DELIVRD" if is_delivered else code,
        "description": "用户短信送达成功" if is_delivered else "用户未接收",
        "sid": serial,
        "context": context,
        "number": number,
        "at": int(at.timestamp()),
    }


def _split(number: str) -> tuple[str, str]:
    """Split a number into country code and rest; outside China the country code has one digit, right or not."""
    return ("86", number[3:]) if number.startswith("+86") else (number[1:2], number[2:])


def _callback(url: str | None, reports: Sequence[Mapping[str, Any]]) -> Callback | None:
    inner = ("context", "number", "at")
    public = [{name: report[name] for name in report if name not in inner} for report in reports]
    return json_callback(url, public, "result")


def _write_pulled(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "UserReceiveTime": report["at"],
        "CountryCode": report["nationcode"],
        "SubscriberNumber": report["mobile"],
        "PhoneNumber": report["number"],
        "SerialNo": report["sid"],
        "ReportStatus": report["report_status"],
        "Description": report["description"],
        "SessionContext": report["context"],
    }


def _write(response: Mapping[str, Any]) -> Response:
    return ApiResponse({"Response": {**response, "RequestId": secrets.token_hex(16)}})


def _number_variables(template: ApprovedTemplate) -> str:
    """Return a template's text with `{1}` for its first variable, as Tencent writes them."""
    return template.fill([f"{{{number}}}" for number, _ in enumerate(template.variables, 1)])
