"""Tencent Cloud's SMS service, version 2021-01-11: SendSms, which answers for each number, and its receipts."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from imsg_contract.wire import Again, Blocked, Receipt, Refused, Sent, Status, TemplateLimits, Unknown
from imsg_sms.providers import Answer, Concern, Push, Reply, Report, Reports, numbers
from imsg_sms.providers.clients import Clients, NoAnswer, NotSent
from imsg_sms.providers.entries import read_entries
from imsg_sms.providers.meanings import (
    Codes,
    Meaning,
    Wait,
    failed,
    moment,
    moment_of,
    plain,
    unreadable,
    until_hour,
    until_next_hour,
    until_tomorrow,
)
from imsg_sms.providers.tencent_signature import Request, headers
from imsg_sms.receipts import Receipts
from imsg_sms.settings import Sms, Tencent
from imsg_sms.templates import Account, Book, Message, describe, mark

NAME = "tencent"
VERSION = "2021-01-11"
SERVICE = "sms"
OK = "Ok"
"""Not Aliyun's OK."""

MOST = 200
PULLED_AT_ONCE = 100
MARKETING_FROM = 8
"""Marketing goes out from 8:00 to 22:00 only."""


def _all(kind: str, names: str, meaning: Meaning) -> dict[str, Meaning]:
    return {f"{kind}.{name}": meaning for name in names.split()}


def _rate(concerns: Concern, after_s: Wait) -> Meaning:
    return Meaning(Again, concerns, after_s)


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
    "FailedOperation.SignatureIncorrectOrUnapproved": Meaning(Blocked, "signature"),
    **_all(
        "FailedOperation",
        "TemplateIncorrectOrUnapproved TemplateUnapprovedOrNotExist",
        Meaning(Blocked, "template"),
    ),
    **_all(
        "UnsupportedOperation",
        "ChineseMainlandTemplateToGlobalPhone GlobalTemplateToChineseMainlandPhone "
        "ContainDomesticAndInternationalPhoneNumber",
        Meaning(Blocked, "template"),
    ),
    "FailedOperation.InsufficientBalanceInSmsPackage": Meaning(Blocked, "account"),
    "InvalidParameterValue.SdkAppIdNotExist": Meaning(Blocked, "account"),
    "InternalError.RequestTimeException": Meaning(Blocked, "account"),
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

TABLE = Codes(NAME, CODES, CLASSES)


def make(sms: Sms, clients: Clients, receipts: Receipts, public_url: str = "") -> "TencentProvider | None":
    """Make the provider; None where nothing of it is set."""
    del receipts, public_url
    return TencentProvider(sms.tencent, clients, book(sms.tencent, sms)) if sms.tencent else None


def book(settings: Tencent, sms: Sms) -> Book:
    """Say what the account's templates take."""
    signature = mark(settings.sign_name)
    default = TemplateLimits(default=True, signature=signature, variables={settings.variable: None})
    own = {settings.template: default} if settings.template else {}
    return describe(Account(NAME, settings.sign_name, settings.variable_characters), sms.templates, own)


class TencentProvider:
    """The provider. It has no way to be asked by our own id; a call that is not answered stays unknown."""

    name = NAME
    most = MOST
    is_mixing = False
    takes_text = False
    kept = Reply(json.dumps({"result": 0, "errmsg": "OK"}))
    garbled = Reply(json.dumps({"result": 1, "errmsg": "not a JSON array of reports"}), 400)
    lost = Reply(json.dumps({"result": 1, "errmsg": "not kept, please repeat"}), 503)

    def __init__(self, settings: Tencent, clients: Clients, book: Book, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clients = clients
        self._book = book
        self._now = now
        parts = urlsplit(settings.endpoint)
        self._host = parts.netloc.rpartition("@")[2]
        self._path = parts.path or "/"
        self._url = f"{parts.scheme}://{self._host}{self._path}"
        self.limits = book.limits
        self.secret = settings.hook
        self.pulls = settings.pull

    async def send(self, message: Message, numbers_: Sequence[str], reference: str) -> Answer:
        """SendSms: one content for up to 200 numbers, all of mainland China or none; each is answered by itself."""
        used = self._book.find(message)
        asked = {
            "PhoneNumberSet": list(numbers_),
            "SmsSdkAppId": self._settings.app_id,
            "SignName": used.signature,
            "TemplateId": used.id,
            "TemplateParamSet": list(used.params.values()),
            "SessionContext": reference,
        }
        try:
            status, said = await self._call("SendSms", asked)
        except (NotSent, NoAnswer) as error:
            return failed(NAME, error)
        return self._meant(status, said, numbers_, {"template": used.id, "signature": used.signature})

    def read(self, push: Push) -> Reports | None:
        """Read a push; it is not signed, and carries no id of ours."""
        entries = read_entries(push.body)
        if entries is None:
            return None
        now = datetime.fromtimestamp(self._now(), UTC)
        read = [report for entry in entries if (report := read_pushed(entry, now)) is not None]
        return Reports(read, len(entries) - len(read))

    async def pull(self) -> Reports:
        """PullSmsSendStatus: the next receipts. Raises NotSent, NoAnswer."""
        status, said = await self._call(
            "PullSmsSendStatus", {"Limit": PULLED_AT_ONCE, "SmsSdkAppId": self._settings.app_id}
        )
        if (error := said.get("Error")) or not isinstance(said.get("PullSmsSendStatusSet"), list):
            raise NoAnswer(f"{status}: {json.dumps(error, ensure_ascii=False)}")
        now = datetime.fromtimestamp(self._now(), UTC)
        entries = said["PullSmsSendStatusSet"]
        read = [report for entry in entries if (report := read_pulled(entry, now)) is not None]
        return Reports(read, len(entries) - len(read))

    async def _call(self, action: str, asked: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        """Make one signed call; `Response` of the answer, empty where there is none. Raises NotSent, NoAnswer."""
        body = json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode()
        signed = headers(
            Request(self._host, SERVICE, action, VERSION, body, self._path),
            self._settings.secret_id,
            self._settings.secret_key.get_secret_value(),
            now=datetime.fromtimestamp(self._now(), UTC),
            region=self._settings.region,
        )
        answer = await self._clients.call("POST", self._url, signed, body)
        try:
            said = answer.json()
        except ValueError:
            said = {}
        response = said.get("Response") if isinstance(said, dict) else None
        return answer.status_code, response if isinstance(response, dict) else {}

    def _meant(self, status: int, said: Mapping[str, Any], numbers_: Sequence[str], used: Mapping[str, str]) -> Answer:
        error = said.get("Error")
        if isinstance(error, dict):
            return self._judge(error, used)
        entries = said.get("SendStatusSet")
        if not isinstance(entries, list):
            return unreadable(NAME, status)
        by_number = {str(entry.get("PhoneNumber")): entry for entry in entries if isinstance(entry, dict)}
        # By its place where a number comes back in another spelling.
        each = {
            number: self._judge_one(by_number.get(number, entry), used)
            for number, entry in zip(numbers_, entries, strict=False)
            if isinstance(entry, dict)
        }
        left_out = Unknown(NAME, "not_answered", "The provider said nothing of this number.")
        return Answer(left_out, each=each)

    def _judge_one(self, entry: Mapping[str, Any], used: Mapping[str, str]) -> Answer:
        if entry.get("Code") == OK:
            return Answer(Sent(NAME, str(entry.get("SerialNo") or "") or None))
        # It is refused alone: nothing is to be halved.
        answer = self._judge(entry, used)
        return Answer(answer.result, answer.concerns)

    def _judge(self, said: Mapping[str, Any], used: Mapping[str, str]) -> Answer:
        code, detail = str(said.get("Code") or "no_code"), str(said.get("Message") or "")
        about = used.get(CODES[code].concerns, "") if code in CODES else ""
        return TABLE.judge(code, detail, now=self._now(), about=about, raw=json.dumps(said, ensure_ascii=False))


def read_pushed(entry: object, now: datetime) -> Report | None:
    """Read one entry of a push (cloud.tencent.com/document/product/382/5807); None where it matches nothing."""
    if not isinstance(entry, Mapping):
        return None
    at = moment(str(entry.get("user_receive_time") or "")) or now.astimezone(UTC)
    address = _number(entry.get("nationcode"), entry.get("mobile"))
    said = Said(entry.get("report_status"), entry.get("errmsg"), entry.get("description"))
    return _report(entry.get("sid"), address, said, at)


def read_pulled(entry: object, now: datetime) -> Report | None:
    """Read one entry of PullSmsSendStatus; None where it matches nothing."""
    if not isinstance(entry, Mapping):
        return None
    address = numbers.read(str(entry.get("PhoneNumber") or "")) or _number(
        entry.get("CountryCode"), entry.get("SubscriberNumber")
    )
    at = moment_of(entry.get("UserReceiveTime")) or now.astimezone(UTC)
    said = Said(entry.get("ReportStatus"), entry.get("ReportStatus"), entry.get("Description"))
    report = _report(entry.get("SerialNo"), address, said, at)
    return report and Report(report.receipt, str(entry.get("SessionContext") or ""))


@dataclass(frozen=True, slots=True)
class Said:
    """What a receipt says, before it is believed to be one."""

    status: object
    code: object
    detail: object


def _report(identity: object, address: str | None, said: Said, at: datetime) -> Report | None:
    if not isinstance(identity, str) or not identity or address is None or said.status not in ("SUCCESS", "FAIL"):
        return None
    receipt = Receipt(
        provider=NAME,
        provider_id=plain(identity),
        address=address,
        status=Status.DELIVERED if said.status == "SUCCESS" else Status.FAILED,
        code=plain(said.code) if said.code else None,
        detail=plain(said.detail) if said.detail else None,
        at=at,
    )
    return Report(receipt)


def _number(country: object, number: object) -> str | None:
    if not number:
        return None
    code = str(country or "").lstrip("+")
    return numbers.read(f"+{code}{number}") if code else numbers.read(str(number))
