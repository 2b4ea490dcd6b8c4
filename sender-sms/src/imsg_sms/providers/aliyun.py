"""Alibaba Cloud's SMS service, version 2017-05-25: SendSms, and QuerySendDetails for what was never answered."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_contract.wire import (
    Again,
    Blocked,
    Job,
    Receipt,
    Recipient,
    Refused,
    Result,
    Sent,
    Status,
    TemplateLimits,
    Unknown,
)
from imsg_runtime.observe import logger
from imsg_runtime.redis import RedisUnavailable
from imsg_sms.providers import Answer, Concern, Push, Reply, Report, Reports, numbers
from imsg_sms.providers.aliyun_signature import Request, encode, headers
from imsg_sms.providers.clients import Clients, NoAnswer, NotSent
from imsg_sms.providers.entries import read_entries
from imsg_sms.providers.meanings import (
    BEIJING,
    SERVER_ERROR,
    Codes,
    Meaning,
    failed,
    moment,
    plain,
    unreadable,
    until_next_hour,
)
from imsg_sms.receipts import Receipts
from imsg_sms.settings import Aliyun, Sms
from imsg_sms.templates import Account, Book, Message, describe, mark

log = logger(__name__)

NAME = "aliyun"
VERSION = "2017-05-25"
FORM = "application/x-www-form-urlencoded"
MOST = 1_000
QUERY_CHARACTERS = 4_000
"""Longer parameters travel in the body: servers and proxies bound a URL at 8 KiB."""

PAGE_SIZE = 50
MAX_PAGES = 20
TRACES_AT_ONCE = 8
OK = "OK"

_CONTENT = (
    "isv.MOBILE_COUNT_OVER_LIMIT",
    "isv.TEMPLATE_MISSING_PARAMETERS",
    "isv.TEMPLATE_PARAMS_ILLEGAL",
    "isv.INVALID_PARAMETERS",
    "isv.INVALID_JSON_PARAM",
    "isv.PARAM_LENGTH_LIMIT",
    "isv.PARAM_NOT_SUPPORT_URL",
    "isv.BLACK_KEY_CONTROL_LIMIT",
    "isv.SMS_CONTENT_ILLEGAL",
    "isv.EXTEND_CODE_ERROR",
    "MissingPhoneNumbers",
    "MissingTemplateParam",
)
_OF_A_NUMBER = ("isv.MOBILE_NUMBER_ILLEGAL", "isv.DOMESTIC_NUMBER_NOT_SUPPORTED")
_TEMPLATE = ("isv.SMS_TEMPLATE_ILLEGAL",)
_SIGNATURE = ("isv.SMS_SIGNATURE_ILLEGAL", "isv.SMS_SIGNATURE_SCENE_ILLEGAL", "isv.SIGN_STATE_ILLEGAL")
_ACCOUNT = (
    "isv.AMOUNT_NOT_ENOUGH",
    "isv.OUT_OF_SERVICE",
    "isv.ACCOUNT_NOT_EXISTS",
    "isv.ACCOUNT_ABNORMAL",
    "isv.DENY_IP_RANGE",
    "isv.PRODUCT_UN_SUBSCRIPT",
    "isv.PRODUCT_UNSUBSCRIBE",
    "isv.MONTH_LIMIT_CONTROL",
    "isv.DAY_LIMIT_CONTROL",
    "isp.RAM_PERMISSION_DENY",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "InvalidTimeStamp.Expired",
    "InvalidTimeStamp.Format",
    "InvalidAccessKeyId.NotFound",
    "InvalidAccessKeyId.Inactive",
    "InvalidAccessKeyId",
    "Forbidden.RAM",
    "Forbidden",
    "NoPermission",
)
_BUSY = ("isp.SYSTEM_ERROR", "isp.GATEWAY_ERROR", "ServiceUnavailable", "SignatureNonceUsed")

_BLOCKED: Mapping[Concern, tuple[str, ...]] = {"account": _ACCOUNT, "template": _TEMPLATE, "signature": _SIGNATURE}

CODES: Mapping[str, Meaning] = {
    **dict.fromkeys(_CONTENT, Meaning(Refused, "content")),
    **dict.fromkeys(_OF_A_NUMBER, Meaning(Refused, "recipient", of_one=True)),
    **{code: Meaning(Blocked, concerns) for concerns, codes in _BLOCKED.items() for code in codes},
    **dict.fromkeys(_BUSY, Meaning(Again, "provider")),
    "isv.BUSINESS_LIMIT_CONTROL": Meaning(Again, "recipient", of_one=True),
}
"""help.aliyun.com/document_detail/101346.html, read November 2026. For which time a frequency limit holds stands in
its message (`_slow_down`)."""

TABLE = Codes(NAME, CODES, {"Throttling": Meaning(Again, "provider"), "": Meaning(Again, "content")})
"""A code nobody knows is Again: a new limit is likelier than a new refusal, and the message's life bounds it."""

KEPT = Reply(json.dumps({"code": 0, "msg": "接收成功"}, ensure_ascii=False))
"""To the letter: help.aliyun.com/document_detail/101867.html."""


def make(sms: Sms, clients: Clients, receipts: Receipts, public_url: str = "") -> "AliyunProvider | None":
    """Make the provider; None where nothing of it is set."""
    del public_url
    return AliyunProvider(sms.aliyun, clients, receipts, book(sms.aliyun, sms)) if sms.aliyun else None


class AliyunProvider:
    """The provider."""

    name = NAME
    most = MOST
    is_mixing = True
    takes_text = False
    kept = KEPT
    garbled = Reply(json.dumps({"code": 1, "msg": "not a JSON array of reports"}), 400)
    lost = Reply(json.dumps({"code": 1, "msg": "not kept, please repeat"}), 503)

    def __init__(
        self, settings: Aliyun, clients: Clients, receipts: Receipts, book: Book, now: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._book = book
        self._clients = clients
        self._receipts = receipts
        self._now = now
        parts = urlsplit(settings.endpoint)
        self._host = parts.netloc.rpartition("@")[2]
        self._path = parts.path or "/"
        self._root = f"{parts.scheme}://{self._host}{self._path}"
        self.limits = book.limits
        self.secret = settings.hook

    async def send(self, message: Message, numbers_: Sequence[str], reference: str) -> Answer:
        """SendSms: one content for up to 1,000 numbers, accepted or refused whole."""
        used = self._book.find(message)
        parameters = {
            "PhoneNumbers": ",".join(map(numbers.format_number, numbers_)),
            "SignName": used.signature,
            "TemplateCode": used.id or self._settings.template,
            "TemplateParam": json.dumps(dict(used.params), ensure_ascii=False, separators=(",", ":")),
            "OutId": reference,
        }
        try:
            status, said = await self._call("SendSms", parameters)
        except (NotSent, NoAnswer) as error:
            return failed(NAME, error)
        return self._meant(status, said, {"template": parameters["TemplateCode"], "signature": used.signature})

    def read(self, push: Push) -> Reports | None:
        """Read SmsReport; it is not signed."""
        entries = read_entries(push.body)
        if entries is None:
            return None
        now = datetime.fromtimestamp(self._now(), UTC)
        read = [report for entry in entries if (report := read_receipt(entry, now)) is not None]
        return Reports(read, len(entries) - len(read))

    async def trace(self, job: Job, recipients: Sequence[Recipient], *, is_last: bool) -> Mapping[int, Result]:
        """Look each number up, side by side, by our own id; what was found delivered is told as a receipt too."""
        try:
            await self._receipts.remember(job.name)
        except RedisUnavailable:
            return {}
        slots = asyncio.Semaphore(TRACES_AT_ONCE)

        async def one(recipient: Recipient) -> Result:
            async with slots:
                return await self._trace(job, recipient, is_last=is_last)

        results = await asyncio.gather(*map(one, recipients))
        return {recipient.n: result for recipient, result in zip(recipients, results, strict=True)}

    async def _trace(self, job: Job, recipient: Recipient, *, is_last: bool) -> Result:
        try:
            detail = await self._detail(job, recipient)
        except (NotSent, NoAnswer) as error:
            return Unknown(NAME, "status_unknown", f"The provider could not be asked: {error}")
        if detail is None and is_last:
            return Again(NAME, "not_taken", "Minutes later the provider still lists no such message: it never had it.")
        if detail is None:
            return Unknown(NAME, "not_listed", "The provider does not list the message, or not yet.")
        code, identity = str(detail.get("ErrCode") or ""), str(detail.get("BizId") or job.name)
        match str(detail.get("SendStatus")):
            case "2":
                return Refused(NAME, code or "failed", "The provider lists the message as failed.")
            case "3":
                return await self._read_delivery(recipient, code, identity, str(detail.get("ReceiveDate") or ""))
        return Sent(NAME, identity, "Found by asking the provider.")

    async def _read_delivery(self, recipient: Recipient, code: str, identity: str, at: str) -> Result:
        receipt = Receipt(
            provider=NAME,
            provider_id=identity,
            address=recipient.address,
            status=Status.DELIVERED,
            code=code or None,
            at=moment(at) or datetime.fromtimestamp(self._now(), UTC),
        )
        try:
            await self._receipts.publish(receipt)
        except (PublishRefused, PublishUnknown) as error:
            return Unknown(NAME, "status_unknown", f"It was delivered, but that could not be told: {error}")
        return Sent(NAME, identity, "Found by asking the provider.")

    async def _detail(self, job: Job, recipient: Recipient) -> Mapping[str, Any] | None:
        """Find the message in the days since the job was accepted. Raises NotSent, NoAnswer."""
        day = job.accepted_at.astimezone(BEIJING).date()
        today = datetime.fromtimestamp(self._now(), BEIJING).date()
        while today >= day:
            for page in range(1, MAX_PAGES + 1):
                entries, total = await self._page(recipient.address, f"{today:%Y%m%d}", page)
                if found := next((entry for entry in entries if entry.get("OutId") == job.name), None):
                    return found
                if not entries or page * PAGE_SIZE >= total:
                    break
            else:
                raise NoAnswer("the list of the number's messages has no end")
            today -= timedelta(days=1)
        return None

    async def _page(self, address: str, day: str, page: int) -> tuple[Sequence[Mapping[str, Any]], int]:
        parameters = {
            "PhoneNumber": numbers.format_number(address),
            "SendDate": day,
            "PageSize": str(PAGE_SIZE),
            "CurrentPage": str(page),
        }
        _, said = await self._call("QuerySendDetails", parameters)
        if said.get("Code") != OK:
            raise NoAnswer(f"{said.get('Code')}: {said.get('Message')}")
        listed = said.get("SmsSendDetailDTOs")
        entries = listed.get("SmsSendDetailDTO") if isinstance(listed, dict) else None
        try:
            total = int(said.get("TotalCount") or 0)
        except (TypeError, ValueError) as error:
            raise NoAnswer("its list can't be read") from error
        return [entry for entry in entries or () if isinstance(entry, dict)], total

    async def _call(self, action: str, parameters: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        """Make one signed call; the answer as JSON, empty where it is none. Raises NotSent, NoAnswer."""
        form = encode(parameters)
        in_body = len(form) > QUERY_CHARACTERS
        request = Request(
            method="POST",
            host=self._host,
            action=action,
            version=VERSION,
            query={} if in_body else parameters,
            body=form.encode() if in_body else b"",
            content_type=FORM if in_body else None,
            path=self._path,
        )
        signed = headers(
            request,
            self._settings.access_key_id,
            self._settings.access_key_secret.get_secret_value(),
            now=datetime.fromtimestamp(self._now(), UTC),
            nonce=secrets.token_hex(16),
        )
        url = self._root if in_body else f"{self._root}?{form}"
        answer = await self._clients.call("POST", url, {**signed, "accept": "application/json"}, request.body)
        try:
            said = answer.json()
        except ValueError:
            said = {}
        return answer.status_code, said if isinstance(said, dict) else {}

    def _meant(self, status: int, said: Mapping[str, Any], used: Mapping[str, str]) -> Answer:
        code, detail = said.get("Code"), str(said.get("Message") or "")
        if code == OK and status < SERVER_ERROR:
            return Answer(Sent(NAME, str(said.get("BizId") or "") or None, detail or None))
        if not isinstance(code, str) or not code:
            return unreadable(NAME, status)
        if code not in CODES and not code.startswith("Throttling") and status >= SERVER_ERROR:
            return Answer(Unknown(NAME, code, detail), concerns="provider")
        if code == "isv.BUSINESS_LIMIT_CONTROL":
            return Answer(self._slow_down(code, detail), concerns="recipient", of_one=True)
        about = used.get(CODES[code].concerns, "") if code in CODES else ""
        return TABLE.judge(code, detail, now=self._now(), about=about, raw=json.dumps(said, ensure_ascii=False))

    def _slow_down(self, code: str, detail: str) -> Result:
        """Read which limit a number has reached: minutes and hours are the clock's, a day lasts 24 hours."""
        if "天级" in detail:
            return Refused(NAME, code, detail)
        if "小时级" in detail:
            return Again(NAME, code, detail, after_s=until_next_hour(self._now()))
        return Again(NAME, code, detail, after_s=60.0)


def book(settings: Aliyun, sms: Sms) -> Book:
    """Say what the account's templates take; the default one is known even where nothing else of it is."""
    known: dict[str, TemplateLimits] = {}
    signature = mark(settings.sign_name)
    for name, one in settings.templates.items():
        known[name] = TemplateLimits(signature=signature, text=one.text, variables=dict(one.variables), links=one.links)
    default = known.get(settings.template, TemplateLimits(signature=signature))
    variables = default.variables or {settings.variable: None}
    known[settings.template] = default.model_copy(update={"default": True, "variables": variables})
    return describe(Account(NAME, settings.sign_name, settings.variable_characters), sms.templates, known)


def read_receipt(entry: object, now: datetime) -> Report | None:
    """Read one report; with it our own id that it carries. None where it can't be matched with anything."""
    if not isinstance(entry, Mapping):
        return None
    identity, number = entry.get("biz_id"), entry.get("phone_number")
    address = numbers.read(str(number)) if number is not None else None
    if not isinstance(identity, str | int) or not str(identity) or address is None or "success" not in entry:
        return None
    is_delivered = entry["success"] in (True, "true", "True")
    code, detail = entry.get("err_code"), entry.get("err_msg")
    receipt = Receipt(
        provider=NAME,
        provider_id=plain(identity),
        address=address,
        status=Status.DELIVERED if is_delivered else Status.FAILED,
        code=plain(code) if code else None,
        detail=plain(detail) if detail else None,
        at=moment(str(entry.get("report_time") or "")) or now.astimezone(UTC),
    )
    return Report(receipt, str(entry.get("out_id") or ""))
