"""Tencent Cloud's SMS service as senders meet it: signed calls, a result for each number, receipts pushed or pulled."""

import hashlib
import hmac
import re
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from starlette.responses import Response

from imsg_contract.constant_time import equals
from imsg_sandbox.aliyun_signatures import Call
from imsg_sandbox.cut import Cut
from imsg_sandbox.sms_callbacks import Callback
from imsg_sandbox.sms_forms import Form, has_link, read_number
from imsg_sandbox.sms_played import Ground, Played, Refusal, Text, json_callback, read_object
from imsg_web.responses import Answer

ALGORITHM = "TC3-HMAC-SHA256"
WINDOW_S = 300
VERSION = "2021-01-11"
MOST_NUMBERS = 200
MOST_PULLED = 100
MOST_KEPT = 10_000
PACKAGE = 10_000
"""Segments of the package that is paid for."""
BEIJING = timezone(timedelta(hours=8))

TROUBLES: Mapping[str, str] = {
    "isv.MOBILE_NUMBER_ILLEGAL": "InvalidParameterValue.IncorrectPhoneNumber",
    "isv.BUSINESS_LIMIT_CONTROL": "LimitExceeded.PhoneNumberThirtySecondLimit",
}

_STAMP = re.compile("[0-9]{1,12}")
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=([^/]+)/([0-9-]+)/([a-z]+)/tc3_request, *SignedHeaders=([^,]+), *Signature=([0-9a-f]+)"
)


@dataclass(frozen=True, slots=True)
class Account:
    """What is played."""

    secrets: Mapping[str, str]
    """Secret id → key."""
    app_id: str
    signs: frozenset[str]
    forms: Mapping[str, Form]
    hook: str | None
    pull: bool


class TencentSms(Played):
    """The service."""

    codes = TROUBLES

    def __init__(self, name: str, account: Account, ground: Ground) -> None:
        super().__init__(name, ground)
        self.account = account
        self._used = 0
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MOST_KEPT)
        self._written: deque[dict[str, Any]] = deque(maxlen=MOST_KEPT)

    async def answer(self, call: Call) -> Response:
        """Answer a call."""
        try:
            action = self._admit(call)
            if action == "SendSms":
                return await self._send(_read(call.body), call.body)
            return _say(self._tell_of(action, call))
        except Refusal as refusal:
            return _say({"Error": {"Code": refusal.code, "Message": refusal.message}})

    def _tell_of(self, action: str, call: Call) -> dict[str, Any]:
        """Answer what sends nothing. Raises Refusal."""
        match action:
            case "PullSmsSendStatus":
                return {"PullSmsSendStatusSet": self._pull(_read(call.body), self._waiting)}
            case "PullSmsReplyStatus":
                return {"PullSmsReplyStatusSet": self._pull(_read(call.body), self._written)}
            case "DescribeSmsTemplateList":
                return {"DescribeTemplateStatusSet": self._list_templates(_read(call.body))}
            case "SmsPackagesStatistics":
                return {"SmsPackagesStatisticsSet": self._list_packages(_read(call.body))}
        raise Refusal("InvalidAction", "The request action is invalid or not found.")

    def _admit(self, call: Call) -> str:
        """Check a signature by what arrived. Raises Refusal."""
        found = _AUTHORIZATION.fullmatch(call.headers.get("authorization", "").strip())
        if found is None:
            raise Refusal("AuthFailure.InvalidAuthorization", "The Authorization header is not as TC3 wants it.")
        key_id, date, service, names, signature = found.groups()
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

    async def _send(self, asked: Mapping[str, Any], raw: bytes) -> Response:
        numbers, text = self._check(asked)
        context, now = str(asked.get("SessionContext") or ""), self.now()
        entries: list[dict[str, Any]] = []
        serials: dict[str, str] = {}
        for given in numbers:
            number = read_number(given)
            code = "InvalidParameterValue.IncorrectPhoneNumber" if number is None else self.troubles.refuses(number)
            serial = f"{secrets.token_hex(8)}:{now.timestamp():.0f}"
            entries.append(_entry(given, code, serial, context))
            if number is not None and code is None:
                serials[number] = serial
        self._used += len(serials)
        taken = await self.take(list(serials), Text(str(asked["SignName"]), text, raw))
        early, late = (
            [_report(number, serials[number], code, context, now) for number, code in some]
            for some in (taken.early, taken.late)
        )
        if self.account.pull:
            self._waiting.extend([*early, *late])
        else:
            await self.tell(_callback(self.account.hook, early), _callback(self.account.hook, late))
        return Cut() if taken.is_cut else _say({"SendStatusSet": entries})

    def _check(self, asked: Mapping[str, Any]) -> tuple[Sequence[str], str]:
        """Check what all numbers share; return them and the text. Raises Refusal."""
        numbers = asked.get("PhoneNumberSet")
        if not isinstance(numbers, list) or not numbers or not all(isinstance(one, str) for one in numbers):
            raise Refusal("MissingParameter", "PhoneNumberSet is missing.")
        if len(numbers) > MOST_NUMBERS:
            raise Refusal("LimitExceeded.PhoneNumberCountLimit", f"At most {MOST_NUMBERS} numbers a call.")
        read = [number for one in numbers if (number := read_number(one)) is not None]
        at_home = sum(number.startswith("+86") for number in read)
        if 0 < at_home < len(read):
            raise Refusal(
                "UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber", "Numbers of both in one call."
            )
        if asked.get("SmsSdkAppId") != self.account.app_id:
            raise Refusal("InvalidParameterValue.SdkAppIdNotExist", "SmsSdkAppId does not exist.")
        if at_home and asked.get("SignName") not in self.account.signs:
            raise Refusal("FailedOperation.SignatureIncorrectOrUnapproved", "The signature is not approved.")
        form = self.account.forms.get(str(asked.get("TemplateId")))
        if form is None:
            raise Refusal("FailedOperation.TemplateIncorrectOrUnapproved", "The template is not approved.")
        values = asked.get("TemplateParamSet") or []
        if not isinstance(values, list) or len(values) != len(form.variables):
            raise Refusal(
                "FailedOperation.TemplateParamSetNotMatchApprovedTemplate",
                f"The template has {len(form.variables)} variables.",
            )
        if form.is_too_long(values):
            raise Refusal("InvalidParameterValue.TemplateParameterLengthLimit", f"At most {form.longest} characters.")
        if has_link(values):
            raise Refusal("InvalidParameterValue.ProhibitedUseUrlInTemplateParameter", "A variable holds a link.")
        return numbers, f"【{asked.get('SignName', '')}】{form.fill(values)}"

    def _list_templates(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """List those of the templates that there are (cloud.tencent.com/document/api/382/52067)."""
        wanted = asked.get("TemplateIdSet")
        names = [str(one) for one in wanted] if isinstance(wanted, list) and wanted else list(self.account.forms)
        return [
            {"TemplateId": int(name), "International": 0, "StatusCode": 0, "TemplateContent": form.text}
            for name in names
            if (form := self.account.forms.get(name)) is not None
        ]

    def _list_packages(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Tell of the one package that is paid for (cloud.tencent.com/document/api/382/55982). Raises Refusal."""
        if asked.get("SmsSdkAppId") != self.account.app_id:
            raise Refusal("InvalidParameterValue.SdkAppIdNotExist", "SmsSdkAppId does not exist.")
        return [{"PackageId": 1, "PackageAmount": PACKAGE, "CurrentUsage": self._used}]

    def answer_of_person(self, number: str, text: str, sender: str) -> Callback | None:
        """Push one object; where the account pulls, keep it until it is fetched."""
        country, national = _split(number)
        at = int(self.now().timestamp())
        if self.account.pull:
            self._written.append(
                {
                    "ExtendCode": "", "CountryCode": country, "PhoneNumber": number, "SignName": sender,
                    "ReplyContent": text, "ReplyTime": at, "SubscriberNumber": national,
                }
            )  # fmt: skip
            return None
        said = {"extend": "", "mobile": national, "nationcode": country, "sign": sender, "text": text, "time": at}
        return json_callback(self.account.hook, said, "result")

    def _pull(self, asked: Mapping[str, Any], waiting: deque[dict[str, Any]]) -> list[dict[str, Any]]:
        """Hand out what was not handed out yet. Raises Refusal."""
        if asked.get("SmsSdkAppId") != self.account.app_id:
            raise Refusal("InvalidParameterValue.SdkAppIdNotExist", "SmsSdkAppId does not exist.")
        if not self.account.pull:
            raise Refusal("FailedOperation.NotEnterpriseCertification", "Pulling is not enabled for this account.")
        count = min(int(asked.get("Limit") or 0), MOST_PULLED, len(waiting))
        entries = [waiting.popleft() for _ in range(count)]
        return entries if waiting is self._written else [_write_pulled(entry) for entry in entries]


def sign(call: Call, names: str, key: str, stamp: str, path: str) -> str:
    """Compute TC3's signature of a call over the headers that it says are signed."""
    lines = ""
    for name in names.split(";"):
        value = call.headers.get(name, "").strip()
        lines += f"{name}:{value.lower() if name == 'x-tc-action' else value}\n"
    digest = hashlib.sha256(call.body).hexdigest()
    canonical = f"{call.method}\n{path}\n\n{lines}\n{names}\n{digest}"
    date = f"{datetime.fromtimestamp(int(stamp), UTC):%Y-%m-%d}"
    said = f"{ALGORITHM}\n{stamp}\n{date}/sms/tc3_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    derived = hmac.new(f"TC3{key}".encode(), date.encode(), hashlib.sha256).digest()
    derived = hmac.new(derived, b"sms", hashlib.sha256).digest()
    derived = hmac.new(derived, b"tc3_request", hashlib.sha256).digest()
    return hmac.new(derived, said.encode(), hashlib.sha256).hexdigest()


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
    """Part a number into its country code and the rest; of countries other than China only the first digit is right."""
    return ("86", number[3:]) if number.startswith("+86") else (number[1:2], number[2:])


def _callback(url: str | None, reports: Sequence[Mapping[str, Any]]) -> Callback | None:
    inner = ("context", "number", "at")
    shown_of = [{name: report[name] for name in report if name not in inner} for report in reports]
    return json_callback(url, shown_of, "result")


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


def _say(response: Mapping[str, Any]) -> Response:
    return Answer({"Response": {**response, "RequestId": secrets.token_hex(16)}})
