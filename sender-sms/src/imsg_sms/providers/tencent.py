"""Tencent Cloud's SMS service, version 2021-01-11: SendSms, with a result for each number, and receipts."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from imsg_contract.results import Again, Blocked, Refused, Sent, Unknown
from imsg_contract.wire import Inbound
from imsg_sms.account_settings import Tencent
from imsg_sms.providers import Concern, FetchReports, ProviderReply, ReceiptReport, ReportBatch, numbers
from imsg_sms.providers.context import ProviderContext
from imsg_sms.providers.inbound import InboundFields, make_inbound
from imsg_sms.providers.meanings import (
    CodeTable,
    Delay,
    Meaning,
    from_unix_time,
    make_unreadable_reply,
    parse_beijing_time,
    seconds_until_hour,
    seconds_until_next_hour,
    seconds_until_tomorrow,
)
from imsg_sms.providers.template_provider import (
    Hook,
    ReceiptFields,
    TemplateProvider,
    build_template_book,
    make_report,
    read_all,
    read_count,
    read_object,
)
from imsg_sms.providers.tencent_signature import Request, headers
from imsg_sms.templates import ProviderTemplate, TemplateBook
from imsg_web.http_pool import HttpPool, NoAnswer

KIND = "tencent"
VERSION = "2021-01-11"
SERVICE = "sms"
OK = "Ok"

SUCCESS = "SUCCESS"
MAX_NUMBERS = 200
MAX_PULLED = 100
MARKETING_FROM = 8
"""The hour from which marketing is allowed; it is until 22:00."""


def _list_codes(kind: str, names: str, meaning: Meaning) -> dict[str, Meaning]:
    return {f"{kind}.{name}": meaning for name in names.split()}


def _rate_limit(concerns: Concern, after_s: Delay) -> Meaning:
    return Meaning(Again, concerns, after_s, is_rate_limit=concerns == "provider")


CODES: Mapping[str, Meaning] = {
    **_list_codes(
        "InternalError",
        "Timeout SendAndRecvFail ParseBackendResponseFail OtherError UnknownError",
        Meaning(Unknown, "provider"),
    ),
    "RequestLimitExceeded": _rate_limit("provider", 0.0),
    "LimitExceeded.GlobalSmsSendingRateLimit": _rate_limit("provider", 0.0),
    "LimitExceeded.PhoneNumberThirtySecondLimit": _rate_limit("recipient", 30.0),
    "LimitExceeded.DeliveryFrequencyLimit": _rate_limit("recipient", 60.0),
    "LimitExceeded.PhoneNumberOneHourLimit": _rate_limit("recipient", seconds_until_next_hour),
    **_list_codes(
        "LimitExceeded", "PhoneNumberDailyLimit PhoneNumberSameContentDailyLimit", Meaning(Refused, "recipient")
    ),
    **_list_codes(
        "LimitExceeded",
        "AppDailyLimit AppMainlandChinaDailyLimit AppGlobalDailyLimit AppCountryOrRegionDailyLimit DailyLimit",
        Meaning(Blocked, "account", seconds_until_tomorrow),
    ),
    "FailedOperation.MarketingSendTimeConstraint": _rate_limit(
        "content", lambda now: seconds_until_hour(now, MARKETING_FROM)
    ),
    "FailedOperation.PhoneNumberInBlacklist": Meaning(Refused, "recipient"),
    "FailedOperation.PhoneNumberParseFail": Meaning(Refused, "recipient", for_one_number=True),
    "InvalidParameterValue.IncorrectPhoneNumber": Meaning(Refused, "recipient", for_one_number=True),
    "UnsupportedOperation.UnsupportedRegion": Meaning(Refused, "recipient", for_one_number=True),
    "LimitExceeded.AppCountryOrRegionInBlacklist": Meaning(Refused, "recipient", for_one_number=True),
    **_list_codes(
        "FailedOperation",
        "ContainSensitiveWord TemplateParamSetNotMatchApprovedTemplate JsonParseFail FailResolvePacket",
        Meaning(Refused, "content"),
    ),
    **_list_codes(
        "InvalidParameterValue",
        "ContentLengthLimit TemplateParameterFormatError TemplateParameterLengthLimit "
        "ProhibitedUseUrlInTemplateParameter UnsupportedTemplateVariable",
        Meaning(Refused, "content"),
    ),
    **_list_codes("FailedOperation", "SignatureIncorrectOrUnapproved MissingSignature", Meaning(Blocked, "signature")),
    **_list_codes("FailedOperation", "NotEnterpriseCertification ProhibitSubAccountUse", Meaning(Blocked, "account")),
    **_list_codes(
        "FailedOperation",
        "TemplateIncorrectOrUnapproved TemplateUnapprovedOrNotExist TemplateIdNotExist",
        Meaning(Blocked, "template"),
    ),
    **_list_codes(
        "UnsupportedOperation",
        "ChineseMainlandTemplateToGlobalPhone GlobalTemplateToChineseMainlandPhone "
        "ContainDomesticAndInternationalPhoneNumber",
        Meaning(Blocked, "template"),
    ),
    "FailedOperation.InsufficientBalanceInSmsPackage": Meaning(Blocked, "account"),
    "InvalidParameter.AppidAndBizId": Meaning(Blocked, "account"),
    "InvalidParameterValue.SdkAppIdNotExist": Meaning(Blocked, "account"),
    **_list_codes("InternalError", "RequestTimeException RestApiInterfaceNotExist", Meaning(Blocked, "account")),
    **_list_codes("InternalError", "SigFieldMissing SigVerificationFail", Meaning(Blocked, "account")),
    **_list_codes(
        "AuthFailure",
        "InvalidAuthorization InvalidSecretId MFAFailure SecretIdNotFound SignatureExpire SignatureFailure "
        "TokenFailure UnauthorizedOperation",
        Meaning(Blocked, "account"),
    ),
    **_list_codes(
        "UnauthorizedOperation",
        "RequestIpNotInWhitelist RequestPermissionDeny SdkAppIdIsDisabled ServiceSuspendDueToArrears "
        "SmsSdkAppIdVerifyFail",
        Meaning(Blocked, "account"),
    ),
    "LimitExceeded.PhoneNumberCountLimit": Meaning(Refused, "content"),
}
"""cloud.tencent.com/document/api/382/59177 and the codes that tencentcloud-sdk-python-sms 3.1.153 names; Nov. 2026."""

BY_PREFIX: Mapping[str, Meaning] = {
    "AuthFailure": Meaning(Blocked, "account"),
    "UnauthorizedOperation": Meaning(Blocked, "account"),
    "ResourceInsufficient": Meaning(Blocked, "account"),
    "ResourceUnavailable": Meaning(Blocked, "account"),
    "LimitExceeded": _rate_limit("recipient", 60.0),
    "RequestLimitExceeded": _rate_limit("provider", 0.0),
    "InternalError": Meaning(Unknown, "provider"),
    "FailedOperation": Meaning(Refused, "content"),
    "InvalidParameter": Meaning(Refused, "content"),
    "MissingParameter": Meaning(Refused, "content"),
    "UnsupportedOperation": Meaning(Refused, "recipient"),
    "": Meaning(Again, "content"),
}
"""The common codes of Tencent Cloud (cloud.tencent.com/document/api/382/52072)."""

TABLE = CodeTable(CODES, BY_PREFIX)


def make(name: str, account: Tencent, context: ProviderContext) -> "TencentProvider":
    """Make the provider of an account."""
    return TencentProvider(name, account, context.pool, build_template_book(name, account, context.templates))


class TencentProvider(TemplateProvider):
    """An account at Tencent Cloud. It can't be asked by our own id: a call without a response stays unknown."""

    kind = KIND
    table = TABLE
    hook = Hook("result", "errmsg")
    max_numbers = MAX_NUMBERS

    def __init__(
        self, name: str, settings: Tencent, pool: HttpPool, book: TemplateBook, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__(name, settings, pool, book, now)
        self._settings = settings
        self.pulls: Sequence[FetchReports] = (self._pull_receipts, self._pull_inbound) if settings.pull else ()

    async def _call_api(
        self, template: ProviderTemplate, addresses: Sequence[str], reference: str
    ) -> tuple[int, Mapping[str, Any]]:
        """Call SendSms: one content for up to 200 numbers, all in mainland China or none; each has a result."""
        parameters = {
            "PhoneNumberSet": list(addresses),
            "SignName": template.signature,
            "TemplateId": template.id,
            "TemplateParamSet": [template.params[name] for name in sorted(template.params, key=_place)],
            "SessionContext": reference,
        }
        return await self._call("SendSms", parameters)

    async def _pull_receipts(self) -> ReportBatch:
        return read_all(await self._pull("PullSmsSendStatus"), partial(read_pulled, self.name), self._moment())

    async def _pull_inbound(self) -> ReportBatch:
        return read_all(await self._pull("PullSmsReplyStatus"), partial(read_pulled_inbound, self.name), self._moment())

    async def _pull(self, action: str) -> Sequence[object]:
        """Fetch the next entries; the provider hands each out once. Raises NotSent, NoAnswer."""
        status, body = await self._call(action, {"Limit": MAX_PULLED})
        error, entries = body.get("Error"), body.get(f"{action}Set")
        if error or not isinstance(entries, list):
            raise NoAnswer(f"{status}: {json.dumps(error, ensure_ascii=False)}")
        return entries

    async def _call(self, action: str, parameters: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        """Make one signed call; return the status and `Response`, `{}` if there is none. Raises NotSent, NoAnswer."""
        answer = await self._post_json(
            {**parameters, "SmsSdkAppId": self._settings.app_id}, partial(self._sign, action)
        )
        response = read_object(answer).get("Response")
        return answer.status_code, response if isinstance(response, dict) else {}

    def _sign(self, action: str, body: bytes) -> Mapping[str, str]:
        return headers(
            Request(self._endpoint.host, SERVICE, action, VERSION, body, self._endpoint.path),
            self._settings.secret_id,
            self._settings.secret_key.get_secret_value(),
            now=self._moment(),
            region=self._settings.region,
        )

    def _classify_answer(
        self, status: int, body: Mapping[str, Any], addresses: Sequence[str], template: ProviderTemplate
    ) -> ProviderReply:
        error = body.get("Error")
        if isinstance(error, dict):
            return self._classify_error(error, template)
        entries = body.get("SendStatusSet")
        if not isinstance(entries, list):
            return make_unreadable_reply(self.name, status)
        entry_of = {str(entry.get("PhoneNumber")): entry for entry in entries if isinstance(entry, dict)}
        # An entry whose number is spelled differently is matched by its position.
        by_number = {
            number: self._classify_entry(entry_of.get(number, entry), template)
            for number, entry in zip(addresses, entries, strict=False)
            if isinstance(entry, dict)
        }
        not_listed = Unknown(self.name, "not_answered", "The provider said nothing of this number.")
        return ProviderReply(not_listed, by_number=by_number)

    def _classify_entry(self, entry: Mapping[str, Any], template: ProviderTemplate) -> ProviderReply:
        if entry.get("Code") == OK:
            identity = str(entry.get("SerialNo") or "") or None
            return ProviderReply(Sent(self.name, identity, segments=read_count(entry.get("Fee"))))
        # A refusal of one number: `for_one_number` stays False, so that no batch is searched.
        answer = self._classify_error(entry, template)
        return ProviderReply(answer.result, answer.concerns)

    def _classify_error(self, body: Mapping[str, Any], template: ProviderTemplate) -> ProviderReply:
        return self._classify_code(str(body.get("Code") or "no_code"), str(body.get("Message") or ""), body, template)

    def _read_entry(self, entry: Mapping[str, Any], now: datetime) -> ReceiptReport | Inbound | None:
        read = read_pushed if "report_status" in entry else read_pushed_inbound
        return read(self.name, entry, now)


def read_pushed(name: str, entry: Mapping[str, Any], now: datetime) -> ReceiptReport | None:
    """Read a pushed receipt (cloud.tencent.com/document/product/382/5807); None if it belongs to no message."""
    at = parse_beijing_time(str(entry.get("user_receive_time") or "")) or now
    status, address = entry.get("report_status"), _number(entry.get("nationcode"), entry.get("mobile"))
    return _receipt(
        name,
        status,
        ReceiptFields(entry.get("sid"), address, status == SUCCESS, entry.get("errmsg"), entry.get("description"), at),
    )


def read_pulled(name: str, entry: Mapping[str, Any], now: datetime) -> ReceiptReport | None:
    """Read one entry of PullSmsSendStatus; None if it belongs to no message."""
    at, status = from_unix_time(entry.get("UserReceiveTime")) or now, entry.get("ReportStatus")
    details = entry.get("Description"), at, entry.get("SessionContext")
    return _receipt(
        name,
        status,
        ReceiptFields(entry.get("SerialNo"), _read_pulled_number(entry), status == SUCCESS, status, *details),
    )


def read_pushed_inbound(name: str, entry: Mapping[str, Any], now: datetime) -> Inbound | None:
    """Read a pushed inbound message (cloud.tencent.com/document/product/382/5809)."""
    address, at = _number(entry.get("nationcode"), entry.get("mobile")), from_unix_time(entry.get("time")) or now
    to, signature = entry.get("extend"), entry.get("sign")
    return make_inbound(name, InboundFields(address, entry.get("text"), at, to=to, signature=signature))


def read_pulled_inbound(name: str, entry: Mapping[str, Any], now: datetime) -> Inbound | None:
    """Read one entry of PullSmsReplyStatus (its SDK's models)."""
    at, text = from_unix_time(entry.get("ReplyTime")) or now, entry.get("ReplyContent")
    to, signature = entry.get("ExtendCode"), entry.get("SignName")
    return make_inbound(name, InboundFields(_read_pulled_number(entry), text, at, to=to, signature=signature))


def _receipt(name: str, status: object, fields: ReceiptFields) -> ReceiptReport | None:
    return make_report(name, fields) if status in (SUCCESS, "FAIL") and isinstance(fields.identity, str) else None


def _read_pulled_number(entry: Mapping[str, Any]) -> str | None:
    whole = numbers.read(str(entry.get("PhoneNumber") or ""))
    return whole or _number(entry.get("CountryCode"), entry.get("SubscriberNumber"))


def _number(country: object, number: object) -> str | None:
    if not number:
        return None
    code = str(country or "").lstrip("+")
    return numbers.read(f"+{code}{number}") if code else numbers.read(str(number))


def _place(variable: str) -> int:
    """Return the place of a variable: Tencent's are numbers; others stay in their order."""
    return int(variable) if variable.isdecimal() else 0
