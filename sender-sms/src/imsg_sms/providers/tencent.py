"""Tencent Cloud's SMS service, version 2021-01-11: SendSms, which answers for each number, and its receipts."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from imsg_contract.wire import Again, Blocked, Inbound, Refused, Sent, Unknown
from imsg_sms.providers import Answer, Concern, Pull, Report, Reports, numbers
from imsg_sms.providers.context import ProviderContext
from imsg_sms.providers.inbound import InboundFields, inbound
from imsg_sms.providers.meanings import (
    Codes,
    Meaning,
    Wait,
    moment,
    moment_of,
    unreadable,
    until_hour,
    until_next_hour,
    until_tomorrow,
)
from imsg_sms.providers.template_provider import (
    Hook,
    ReceiptFields,
    TemplateProvider,
    build_templates,
    read_all,
    read_object,
    report,
)
from imsg_sms.providers.tencent_signature import Request, headers
from imsg_sms.settings import Tencent
from imsg_sms.templates import ProviderTemplate, TemplateBook
from imsg_web.http_pool import HttpPool, NoAnswer

KIND = "tencent"
VERSION = "2021-01-11"
SERVICE = "sms"
OK = "Ok"
"""Not Aliyun's OK."""

SUCCESS = "SUCCESS"
MOST = 200
PULLED_AT_ONCE = 100
MARKETING_FROM = 8
"""Marketing goes out from 8:00 to 22:00 only."""


def _all(kind: str, names: str, meaning: Meaning) -> dict[str, Meaning]:
    return {f"{kind}.{name}": meaning for name in names.split()}


def _rate(concerns: Concern, after_s: Wait) -> Meaning:
    return Meaning(Again, concerns, after_s, is_rate=concerns == "provider")


CODES: Mapping[str, Meaning] = {
    **_all(
        "InternalError",
        "Timeout SendAndRecvFail ParseBackendResponseFail OtherError UnknownError",
        Meaning(Unknown, "provider"),
    ),
    "RequestLimitExceeded": _rate("provider", 0.0),
    "LimitExceeded.GlobalSmsSendingRateLimit": _rate("provider", 0.0),
    "LimitExceeded.PhoneNumberThirtySecondLimit": _rate("recipient", 30.0),
    "LimitExceeded.DeliveryFrequencyLimit": _rate("recipient", 60.0),
    "LimitExceeded.PhoneNumberOneHourLimit": _rate("recipient", until_next_hour),
    **_all("LimitExceeded", "PhoneNumberDailyLimit PhoneNumberSameContentDailyLimit", Meaning(Refused, "recipient")),
    **_all(
        "LimitExceeded",
        "AppDailyLimit AppMainlandChinaDailyLimit AppGlobalDailyLimit AppCountryOrRegionDailyLimit DailyLimit",
        Meaning(Blocked, "account", until_tomorrow),
    ),
    "FailedOperation.MarketingSendTimeConstraint": _rate("content", lambda now: until_hour(now, MARKETING_FROM)),
    "FailedOperation.PhoneNumberInBlacklist": Meaning(Refused, "recipient"),
    "FailedOperation.PhoneNumberParseFail": Meaning(Refused, "recipient", of_one=True),
    "InvalidParameterValue.IncorrectPhoneNumber": Meaning(Refused, "recipient", of_one=True),
    "UnsupportedOperation.UnsupportedRegion": Meaning(Refused, "recipient", of_one=True),
    "LimitExceeded.AppCountryOrRegionInBlacklist": Meaning(Refused, "recipient", of_one=True),
    **_all(
        "FailedOperation",
        "ContainSensitiveWord TemplateParamSetNotMatchApprovedTemplate JsonParseFail FailResolvePacket",
        Meaning(Refused, "content"),
    ),
    **_all(
        "InvalidParameterValue",
        "ContentLengthLimit TemplateParameterFormatError TemplateParameterLengthLimit "
        "ProhibitedUseUrlInTemplateParameter UnsupportedTemplateVariable",
        Meaning(Refused, "content"),
    ),
    **_all("FailedOperation", "SignatureIncorrectOrUnapproved MissingSignature", Meaning(Blocked, "signature")),
    **_all("FailedOperation", "NotEnterpriseCertification ProhibitSubAccountUse", Meaning(Blocked, "account")),
    **_all(
        "FailedOperation",
        "TemplateIncorrectOrUnapproved TemplateUnapprovedOrNotExist TemplateIdNotExist",
        Meaning(Blocked, "template"),
    ),
    **_all(
        "UnsupportedOperation",
        "ChineseMainlandTemplateToGlobalPhone GlobalTemplateToChineseMainlandPhone "
        "ContainDomesticAndInternationalPhoneNumber",
        Meaning(Blocked, "template"),
    ),
    "FailedOperation.InsufficientBalanceInSmsPackage": Meaning(Blocked, "account"),
    "InvalidParameter.AppidAndBizId": Meaning(Blocked, "account"),
    "InvalidParameterValue.SdkAppIdNotExist": Meaning(Blocked, "account"),
    **_all("InternalError", "RequestTimeException RestApiInterfaceNotExist", Meaning(Blocked, "account")),
    **_all("InternalError", "SigFieldMissing SigVerificationFail", Meaning(Blocked, "account")),
    "LimitExceeded.PhoneNumberCountLimit": Meaning(Refused, "content"),
}
"""cloud.tencent.com/document/api/382/59177 and the codes that tencentcloud-sdk-python-sms 3.1.153 names; Nov. 2026."""

CLASSES: Mapping[str, Meaning] = {
    "AuthFailure": Meaning(Blocked, "account"),
    "UnauthorizedOperation": Meaning(Blocked, "account"),
    "ResourceInsufficient": Meaning(Blocked, "account"),
    "ResourceUnavailable": Meaning(Blocked, "account"),
    "LimitExceeded": _rate("recipient", 60.0),
    "RequestLimitExceeded": _rate("provider", 0.0),
    "InternalError": Meaning(Unknown, "provider"),
    "FailedOperation": Meaning(Refused, "content"),
    "InvalidParameter": Meaning(Refused, "content"),
    "MissingParameter": Meaning(Refused, "content"),
    "UnsupportedOperation": Meaning(Refused, "recipient"),
    "": Meaning(Again, "content"),
}
"""The common kinds of Tencent Cloud's codes (cloud.tencent.com/document/api/382/52072)."""

TABLE = Codes(CODES, CLASSES)


def make(name: str, account: Tencent, context: ProviderContext) -> "TencentProvider":
    """Make an account's provider."""
    return TencentProvider(name, account, context.pool, build_templates(name, account, context.templates))


class TencentProvider(TemplateProvider):
    """The provider. It has no way to be asked by our own id; a call that is not answered stays unknown."""

    kind = KIND
    table = TABLE
    hook = Hook("result", "errmsg")
    most = MOST

    def __init__(
        self, name: str, settings: Tencent, pool: HttpPool, book: TemplateBook, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__(name, settings, pool, book, now)
        self._settings = settings
        self.pulls: Sequence[Pull] = (self._pull_receipts, self._pull_inbound) if settings.pull else ()

    async def _call_api(
        self, used: ProviderTemplate, numbers_: Sequence[str], reference: str
    ) -> tuple[int, Mapping[str, Any]]:
        """SendSms: one content for up to 200 numbers, all of mainland China or none; each is answered by itself."""
        asked = {
            "PhoneNumberSet": list(numbers_),
            "SignName": used.signature,
            "TemplateId": used.id,
            "TemplateParamSet": list(used.params.values()),
            "SessionContext": reference,
        }
        return await self._call("SendSms", asked)

    async def _pull_receipts(self) -> Reports:
        return read_all(await self._pull("PullSmsSendStatus"), partial(read_pulled, self.name), self._moment())

    async def _pull_inbound(self) -> Reports:
        return read_all(await self._pull("PullSmsReplyStatus"), partial(read_pulled_inbound, self.name), self._moment())

    async def _pull(self, action: str) -> Sequence[object]:
        """Fetch the next entries, each of which is handed out once. Raises NotSent, NoAnswer."""
        status, said = await self._call(action, {"Limit": PULLED_AT_ONCE})
        error, entries = said.get("Error"), said.get(f"{action}Set")
        if error or not isinstance(entries, list):
            raise NoAnswer(f"{status}: {json.dumps(error, ensure_ascii=False)}")
        return entries

    async def _call(self, action: str, asked: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        """Make one signed call; `Response` of the answer, empty where there is none. Raises NotSent, NoAnswer."""
        answer = await self._post_json({**asked, "SmsSdkAppId": self._settings.app_id}, partial(self._sign, action))
        response = read_object(answer).get("Response")
        return answer.status_code, response if isinstance(response, dict) else {}

    def _sign(self, action: str, body: bytes) -> Mapping[str, str]:
        return headers(
            Request(self._at.host, SERVICE, action, VERSION, body, self._at.path),
            self._settings.secret_id,
            self._settings.secret_key.get_secret_value(),
            now=self._moment(),
            region=self._settings.region,
        )

    def _judge_answer(
        self, status: int, said: Mapping[str, Any], numbers_: Sequence[str], used: ProviderTemplate
    ) -> Answer:
        error = said.get("Error")
        if isinstance(error, dict):
            return self._judge(error, used)
        entries = said.get("SendStatusSet")
        if not isinstance(entries, list):
            return unreadable(self.name, status)
        by_number = {str(entry.get("PhoneNumber")): entry for entry in entries if isinstance(entry, dict)}
        # By its place where a number comes back in another spelling.
        each = {
            number: self._judge_one(by_number.get(number, entry), used)
            for number, entry in zip(numbers_, entries, strict=False)
            if isinstance(entry, dict)
        }
        left_out = Unknown(self.name, "not_answered", "The provider said nothing of this number.")
        return Answer(left_out, each=each)

    def _judge_one(self, entry: Mapping[str, Any], used: ProviderTemplate) -> Answer:
        if entry.get("Code") == OK:
            return Answer(Sent(self.name, str(entry.get("SerialNo") or "") or None))
        # It is refused alone: nothing is to be halved.
        answer = self._judge(entry, used)
        return Answer(answer.result, answer.concerns)

    def _judge(self, said: Mapping[str, Any], used: ProviderTemplate) -> Answer:
        return self._judge_code(str(said.get("Code") or "no_code"), str(said.get("Message") or ""), said, used)

    def _read_entry(self, entry: Mapping[str, Any], now: datetime) -> Report | Inbound | None:
        read = read_pushed if "report_status" in entry else read_pushed_inbound
        return read(self.name, entry, now)


def read_pushed(name: str, entry: Mapping[str, Any], now: datetime) -> Report | None:
    """Read a receipt of a push (cloud.tencent.com/document/product/382/5807); None where it matches nothing."""
    at = moment(str(entry.get("user_receive_time") or "")) or now
    status, address = entry.get("report_status"), _number(entry.get("nationcode"), entry.get("mobile"))
    return _receipt(
        name,
        status,
        ReceiptFields(entry.get("sid"), address, status == SUCCESS, entry.get("errmsg"), entry.get("description"), at),
    )


def read_pulled(name: str, entry: Mapping[str, Any], now: datetime) -> Report | None:
    """Read one entry of PullSmsSendStatus; None where it matches nothing."""
    at, status = moment_of(entry.get("UserReceiveTime")) or now, entry.get("ReportStatus")
    said = entry.get("Description"), at, entry.get("SessionContext")
    return _receipt(
        name, status, ReceiptFields(entry.get("SerialNo"), _read_pulled_number(entry), status == SUCCESS, status, *said)
    )


def read_pushed_inbound(name: str, entry: Mapping[str, Any], now: datetime) -> Inbound | None:
    """Read what somebody wrote out of a push (cloud.tencent.com/document/product/382/5809)."""
    address, at = _number(entry.get("nationcode"), entry.get("mobile")), moment_of(entry.get("time")) or now
    to, signature = entry.get("extend"), entry.get("sign")
    return inbound(name, InboundFields(address, entry.get("text"), at, to=to, signature=signature))


def read_pulled_inbound(name: str, entry: Mapping[str, Any], now: datetime) -> Inbound | None:
    """Read one entry of PullSmsReplyStatus (its SDK's models)."""
    at, text = moment_of(entry.get("ReplyTime")) or now, entry.get("ReplyContent")
    to, signature = entry.get("ExtendCode"), entry.get("SignName")
    return inbound(name, InboundFields(_read_pulled_number(entry), text, at, to=to, signature=signature))


def _receipt(name: str, status: object, found: ReceiptFields) -> Report | None:
    return report(name, found) if status in (SUCCESS, "FAIL") and isinstance(found.identity, str) else None


def _read_pulled_number(entry: Mapping[str, Any]) -> str | None:
    whole = numbers.read(str(entry.get("PhoneNumber") or ""))
    return whole or _number(entry.get("CountryCode"), entry.get("SubscriberNumber"))


def _number(country: object, number: object) -> str | None:
    if not number:
        return None
    code = str(country or "").lstrip("+")
    return numbers.read(f"+{code}{number}") if code else numbers.read(str(number))
