"""Alibaba Cloud's SMS service, version 2017-05-25: SendSms, and QuerySendDetails for what was never answered."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_channels.sms_templates import SmsTemplate
from imsg_contract.wire import (
    Again,
    Blocked,
    Inbound,
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
from imsg_runtime.logs import logger
from imsg_runtime.redis import RedisUnavailable
from imsg_sms.providers import Answer, Concern, Report, numbers
from imsg_sms.providers.aliyun_signature import Request, encode, headers
from imsg_sms.providers.context import ProviderContext
from imsg_sms.providers.inbound import InboundFields, inbound
from imsg_sms.providers.meanings import (
    BEIJING,
    SERVER_ERROR,
    Codes,
    Meaning,
    moment,
    unreadable,
    until_next_hour,
)
from imsg_sms.providers.template_provider import Hook, ReceiptFields, TemplateProvider, read_object, report
from imsg_sms.receipts import Receipts
from imsg_sms.settings import Aliyun
from imsg_sms.templates import Account, ProviderTemplate, TemplateBook, describe, mark
from imsg_web.http_pool import HttpPool, NoAnswer, NotSent

log = logger(__name__)

KIND = "aliyun"
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
    "isv.SMS_CONTENT_MISMATCH_TEMPLATE_TYPE",
    "isv.UNSUPPORTED_CONTENT",
    "isv.EXTEND_CODE_ERROR",
    "MissingPhoneNumbers",
    "MissingTemplateParam",
)
_OF_A_NUMBER = ("isv.MOBILE_NUMBER_ILLEGAL", "isv.DOMESTIC_NUMBER_NOT_SUPPORTED")
_TEMPLATE = ("isv.SMS_TEMPLATE_ILLEGAL", "isv.SMS_TEST_NUMBER_LIMIT")
_SIGNATURE = (
    "isv.SMS_SIGNATURE_ILLEGAL",
    "isv.SMS_SIGNATURE_SCENE_ILLEGAL",
    "isv.SMS_SIGN_ILLEGAL",
    "isv.SIGN_STATE_ILLEGAL",
)
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
    "isv.CUSTOMER_REFUSED": Meaning(Refused, "recipient", of_one=True),
}
"""help.aliyun.com/document_detail/101346.html, read November 2026. For which time a frequency limit holds stands in
its message (`_slow_down`). CUSTOMER_REFUSED: it opted out of marketing; BLACK_KEY_CONTROL_LIMIT is of the words."""

TABLE = Codes(CODES, {"Throttling": Meaning(Again, "provider", is_rate=True), "": Meaning(Again, "content")})
"""An unlisted code is Again: a new limit is likelier than a new refusal, and the message's lifetime bounds it."""


def make(name: str, account: Aliyun, context: ProviderContext) -> "AliyunProvider":
    """Make an account's provider."""
    return AliyunProvider(name, account, context.pool, context.receipts, book(name, account, context.templates))


class AliyunProvider(TemplateProvider):
    """The provider."""

    kind = KIND
    table = TABLE
    hook = Hook("code", "msg", "接收成功")
    """To the letter: help.aliyun.com/document_detail/101867.html."""
    most = MOST
    mixes_countries = True

    def __init__(
        self,
        name: str,
        settings: Aliyun,
        pool: HttpPool,
        receipts: Receipts,
        book: TemplateBook,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name, settings, pool, book, now)
        self._settings = settings
        self._receipts = receipts

    async def _call_api(
        self, used: ProviderTemplate, numbers_: Sequence[str], reference: str
    ) -> tuple[int, Mapping[str, Any]]:
        """SendSms: one content for up to 1,000 numbers, accepted or refused whole."""
        parameters = {
            "PhoneNumbers": ",".join(map(numbers.format_number, numbers_)),
            "SignName": used.signature,
            "TemplateCode": used.id or self._settings.template,
            "TemplateParam": json.dumps(dict(used.params), ensure_ascii=False, separators=(",", ":")),
            "OutId": reference,
        }
        return await self._call("SendSms", parameters)

    def _read_entry(self, entry: Mapping[str, Any], now: datetime) -> Report | Inbound | None:
        return read_inbound(self.name, entry, now) if "content" in entry else read_receipt(self.name, entry, now)

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
            return Unknown(self.name, "status_unknown", f"The provider could not be asked: {error}")
        if detail is None and is_last:
            return Again(
                self.name, "not_taken", "Minutes later the provider still lists no such message: it never had it."
            )
        if detail is None:
            return Unknown(self.name, "not_listed", "The provider does not list the message, or not yet.")
        code, identity = str(detail.get("ErrCode") or ""), str(detail.get("BizId") or job.name)
        match str(detail.get("SendStatus")):
            case "2":
                return Refused(self.name, code or "failed", "The provider lists the message as failed.")
            case "3":
                return await self._read_delivery(recipient, code, identity, str(detail.get("ReceiveDate") or ""))
        return Sent(self.name, identity, "ReceiptFields by asking the provider.")

    async def _read_delivery(self, recipient: Recipient, code: str, identity: str, at: str) -> Result:
        receipt = Receipt(
            provider=self.name,
            provider_id=identity,
            address=recipient.address,
            status=Status.DELIVERED,
            code=code or None,
            at=moment(at) or datetime.fromtimestamp(self._now(), UTC),
        )
        try:
            await self._receipts.publish(receipt)
        except (PublishRefused, PublishUnknown) as error:
            return Unknown(self.name, "status_unknown", f"It was delivered, but that could not be told: {error}")
        return Sent(self.name, identity, "ReceiptFields by asking the provider.")

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
            host=self._at.host,
            action=action,
            version=VERSION,
            query={} if in_body else parameters,
            body=form.encode() if in_body else b"",
            content_type=FORM if in_body else None,
            path=self._at.path,
            encoded=None if in_body else form,
        )
        signed = headers(
            request,
            self._settings.access_key_id,
            self._settings.access_key_secret.get_secret_value(),
            now=self._moment(),
            nonce=secrets.token_hex(16),
        )
        url = self._at.url if in_body else f"{self._at.url}?{form}"
        answer = await self._pool.call("POST", url, {**signed, "accept": "application/json"}, request.body)
        return answer.status_code, read_object(answer)

    def _judge_answer(
        self, status: int, said: Mapping[str, Any], numbers_: Sequence[str], used: ProviderTemplate
    ) -> Answer:
        del numbers_  # it answers for all of them at once
        code, detail = said.get("Code"), str(said.get("Message") or "")
        if code == OK and status < SERVER_ERROR:
            return Answer(Sent(self.name, str(said.get("BizId") or "") or None, detail or None))
        if not isinstance(code, str) or not code:
            return unreadable(self.name, status)
        if code not in CODES and not code.startswith("Throttling") and status >= SERVER_ERROR:
            return Answer(Unknown(self.name, code, detail), concerns="provider")
        if code == "isv.BUSINESS_LIMIT_CONTROL":
            return Answer(self._slow_down(code, detail), concerns="recipient", of_one=True)
        return self._judge_code(code, detail, said, used)

    def _slow_down(self, code: str, detail: str) -> Result:
        """Read which limit a number has reached: minutes and hours are the clock's, a day lasts 24 hours."""
        if "天级" in detail:
            return Refused(self.name, code, detail)
        if "小时级" in detail:
            return Again(self.name, code, detail, after_s=until_next_hour(self._now()))
        return Again(self.name, code, detail, after_s=60.0)


def book(name: str, settings: Aliyun, templates: Mapping[str, SmsTemplate]) -> TemplateBook:
    """Say what the account's templates take; the default one is known even where nothing else of it is."""
    known: dict[str, TemplateLimits] = {}
    signature = mark(settings.sign_name)
    for each, one in settings.templates.items():
        known[each] = TemplateLimits(signature=signature, text=one.text, variables=dict(one.variables), links=one.links)
    default = known.get(settings.template, TemplateLimits(signature=signature))
    variables = default.variables or {settings.variable: None}
    known[settings.template] = default.model_copy(update={"default": True, "variables": variables})
    return describe(Account(name, settings.sign_name, settings.variable_characters), templates, known)


def read_receipt(name: str, entry: Mapping[str, Any], now: datetime) -> Report | None:
    """Read one report; with it our own id that it carries. None where it can't be matched with anything."""
    if "success" not in entry:
        return None
    at, is_delivered = moment(str(entry.get("report_time") or "")) or now, entry["success"] in (True, "true", "True")
    said = entry.get("err_code"), entry.get("err_msg"), at, entry.get("out_id")
    return report(name, ReceiptFields(entry.get("biz_id"), _number(entry), is_delivered, *said))


def read_inbound(name: str, entry: Mapping[str, Any], now: datetime) -> Inbound | None:
    """Read what somebody wrote: SmsUp (help.aliyun.com/document_detail/101875.html)."""
    at, identity = moment(str(entry.get("send_time") or "")) or now, entry.get("sequence_id")
    to, signature = entry.get("dest_code"), entry.get("sign_name")
    return inbound(name, InboundFields(_number(entry), entry.get("content"), at, identity, to, signature))


def _number(entry: Mapping[str, Any]) -> str | None:
    number = entry.get("phone_number")
    return numbers.read(str(number)) if number is not None else None
