"""Alibaba Cloud's SMS service, version 2017-05-25: SendSms, and QuerySendDetails for calls without a response."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_channels.sms_templates import SmsTemplate
from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.wire import Inbound, Job, Receipt, Recipient, Status
from imsg_runtime.redis import RedisUnavailable
from imsg_sms.account_settings import Aliyun
from imsg_sms.providers import Concern, ProviderReply, ReceiptReport, numbers
from imsg_sms.providers.aliyun_signature import Request, encode, headers
from imsg_sms.providers.context import ProviderContext
from imsg_sms.providers.inbound import InboundFields, make_inbound
from imsg_sms.providers.meanings import (
    BEIJING,
    SERVER_ERROR,
    CodeTable,
    Meaning,
    make_unreadable_reply,
    parse_beijing_time,
    seconds_until_next_hour,
)
from imsg_sms.providers.template_provider import Hook, ReceiptFields, TemplateProvider, make_report, read_object
from imsg_sms.receipts import Receipts
from imsg_sms.templates import ProviderTemplate, TemplateAccount, TemplateBook, bracket, build_account_book
from imsg_web.http_pool import HttpPool, NoAnswer, NotSent

KIND = "aliyun"
VERSION = "2017-05-25"
FORM = "application/x-www-form-urlencoded"
MAX_NUMBERS = 1_000
QUERY_CHARACTERS = 4_000
"""Longer parameters go into the body, because servers and proxies bound a URL at 8 KiB."""

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
_NUMBER = ("isv.MOBILE_NUMBER_ILLEGAL", "isv.DOMESTIC_NUMBER_NOT_SUPPORTED")
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
    **dict.fromkeys(_NUMBER, Meaning(Refused, "recipient", for_one_number=True)),
    **{code: Meaning(Blocked, concerns) for concerns, codes in _BLOCKED.items() for code in codes},
    **dict.fromkeys(_BUSY, Meaning(Again, "provider")),
    "isv.BUSINESS_LIMIT_CONTROL": Meaning(Again, "recipient", for_one_number=True),
    "isv.CUSTOMER_REFUSED": Meaning(Refused, "recipient", for_one_number=True),
}
"""help.aliyun.com/document_detail/101346.html, read November 2026. The message of a frequency limit says
how long it holds (`_classify_frequency_limit`). CUSTOMER_REFUSED: the number opted out of marketing;
BLACK_KEY_CONTROL_LIMIT is about the content."""

TABLE = CodeTable(CODES, {"Throttling": Meaning(Again, "provider", is_rate_limit=True), "": Meaning(Again, "content")})
"""An unlisted code means Again: a new limit is likelier than a new refusal, and the message expires."""


def make(name: str, account: Aliyun, context: ProviderContext) -> "AliyunProvider":
    """Make the provider of an account."""
    return AliyunProvider(name, account, context.pool, context.receipts, build_book(name, account, context.templates))


class AliyunProvider(TemplateProvider):
    """An account at Alibaba Cloud. `trace` finds messages by our own id."""

    kind = KIND
    table = TABLE
    hook = Hook("code", "msg", "接收成功")
    """Exactly as in help.aliyun.com/document_detail/101867.html."""
    max_numbers = MAX_NUMBERS
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
        self, template: ProviderTemplate, addresses: Sequence[str], reference: str
    ) -> tuple[int, Mapping[str, Any]]:
        """Call SendSms: one content for up to 1,000 numbers, all accepted or all refused."""
        parameters = {
            "PhoneNumbers": ",".join(map(numbers.format_number, addresses)),
            "SignName": template.signature,
            "TemplateCode": template.id or self._settings.template,
            "TemplateParam": json.dumps(dict(template.params), ensure_ascii=False, separators=(",", ":")),
            "OutId": reference,
        }
        return await self._call("SendSms", parameters)

    def _read_entry(self, entry: Mapping[str, Any], now: datetime) -> ReceiptReport | Inbound | None:
        return read_inbound(self.name, entry, now) if "content" in entry else read_receipt(self.name, entry, now)

    async def trace(self, job: Job, recipients: Sequence[Recipient], *, is_last: bool) -> Mapping[int, Result]:
        """Query each number by our own id, concurrently. A delivered message is published as a receipt too."""
        try:
            await self._receipts.remember(job.name)
        except RedisUnavailable:
            return {}
        slots = asyncio.Semaphore(TRACES_AT_ONCE)

        async def trace_one(recipient: Recipient) -> Result:
            async with slots:
                return await self._trace(job, recipient, is_last=is_last)

        results = await asyncio.gather(*map(trace_one, recipients))
        return {recipient.n: result for recipient, result in zip(recipients, results, strict=True)}

    async def _trace(self, job: Job, recipient: Recipient, *, is_last: bool) -> Result:
        try:
            entry = await self._find_entry(job, recipient)
        except (NotSent, NoAnswer) as error:
            return Unknown(self.name, "status_unknown", f"The provider could not be asked: {error}")
        if entry is None and is_last:
            return Again(
                self.name, "not_taken", "Minutes later the provider still lists no such message: it never had it."
            )
        if entry is None:
            return Unknown(self.name, "not_listed", "The provider does not list the message, or not yet.")
        code, identity = str(entry.get("ErrCode") or ""), str(entry.get("BizId") or job.name)
        match str(entry.get("SendStatus")):
            case "2":
                return Refused(self.name, code or "failed", "The provider lists the message as failed.")
            case "3":
                return await self._publish_delivery(recipient, code, identity, str(entry.get("ReceiveDate") or ""))
        return Sent(self.name, identity, "Found by asking the provider.")

    async def _publish_delivery(self, recipient: Recipient, code: str, identity: str, at: str) -> Result:
        receipt = Receipt(
            provider=self.name,
            provider_id=identity,
            address=recipient.address,
            status=Status.DELIVERED,
            code=code or None,
            at=parse_beijing_time(at) or datetime.fromtimestamp(self._now(), UTC),
        )
        try:
            await self._receipts.publish(receipt)
        except (PublishRefused, PublishUnknown) as error:
            return Unknown(
                self.name, "status_unknown", f"It was delivered, but the receipt could not be published: {error}"
            )
        return Sent(self.name, identity, "Found by asking the provider.")

    async def _find_entry(self, job: Job, recipient: Recipient) -> Mapping[str, Any] | None:
        """Return the entry of a message in the days since its channel got the job; None if there is none.

        Raises NotSent, NoAnswer.
        """
        day = job.queued_at.astimezone(BEIJING).date()
        today = datetime.fromtimestamp(self._now(), BEIJING).date()
        while today >= day:
            for page in range(1, MAX_PAGES + 1):
                entries, total = await self._fetch_page(recipient.address, f"{today:%Y%m%d}", page)
                for entry in entries:
                    if entry.get("OutId") == job.name:
                        return entry
                if not entries or page * PAGE_SIZE >= total:
                    break
            else:
                raise NoAnswer("the list of the number's messages has no end")
            today -= timedelta(days=1)
        return None

    async def _fetch_page(self, address: str, day: str, page: int) -> tuple[Sequence[Mapping[str, Any]], int]:
        parameters = {
            "PhoneNumber": numbers.format_number(address),
            "SendDate": day,
            "PageSize": str(PAGE_SIZE),
            "CurrentPage": str(page),
        }
        _, body = await self._call("QuerySendDetails", parameters)
        if body.get("Code") != OK:
            raise NoAnswer(f"{body.get('Code')}: {body.get('Message')}")
        listed = body.get("SmsSendDetailDTOs")
        entries = listed.get("SmsSendDetailDTO") if isinstance(listed, dict) else None
        try:
            total = int(body.get("TotalCount") or 0)
        except (TypeError, ValueError) as error:
            raise NoAnswer("its list can't be read") from error
        return [entry for entry in entries or () if isinstance(entry, dict)], total

    async def _call(self, action: str, parameters: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        """Make one signed call; return the status and the JSON object, `{}` if none. Raises NotSent, NoAnswer."""
        form = encode(parameters)
        in_body = len(form) > QUERY_CHARACTERS
        request = Request(
            method="POST",
            host=self._endpoint.host,
            action=action,
            version=VERSION,
            query={} if in_body else parameters,
            body=form.encode() if in_body else b"",
            content_type=FORM if in_body else None,
            path=self._endpoint.path,
            encoded=None if in_body else form,
        )
        signed = headers(
            request,
            self._settings.access_key_id,
            self._settings.access_key_secret.get_secret_value(),
            now=self._moment(),
            nonce=secrets.token_hex(16),
        )
        url = self._endpoint.url if in_body else f"{self._endpoint.url}?{form}"
        answer = await self._pool.call("POST", url, {**signed, "accept": "application/json"}, request.body)
        return answer.status_code, read_object(answer)

    def _classify_answer(
        self, status: int, body: Mapping[str, Any], addresses: Sequence[str], template: ProviderTemplate
    ) -> ProviderReply:
        del addresses  # one reply for all numbers
        code, detail = body.get("Code"), str(body.get("Message") or "")
        if code == OK and status < SERVER_ERROR:
            return ProviderReply(Sent(self.name, str(body.get("BizId") or "") or None, detail or None))
        if not isinstance(code, str) or not code:
            return make_unreadable_reply(self.name, status)
        if code not in CODES and not code.startswith("Throttling") and status >= SERVER_ERROR:
            return ProviderReply(Unknown(self.name, code, detail), concerns="provider")
        if code == "isv.BUSINESS_LIMIT_CONTROL":
            return ProviderReply(
                self._classify_frequency_limit(code, detail), concerns="recipient", for_one_number=True
            )
        return self._classify_code(code, detail, body, template)

    def _classify_frequency_limit(self, code: str, detail: str) -> Result:
        """Return the result of a frequency limit, by its period in the message: a minute, a clock hour, a day."""
        if "天级" in detail:
            return Refused(self.name, code, detail)
        if "小时级" in detail:
            return Again(self.name, code, detail, after_s=seconds_until_next_hour(self._now()))
        return Again(self.name, code, detail, after_s=60.0)


def build_book(name: str, settings: Aliyun, templates: Mapping[str, SmsTemplate]) -> TemplateBook:
    """Return the account's templates. The default one is always among them."""
    known: dict[str, TemplateLimits] = {}
    signature = bracket(settings.sign_name)
    for id_, template in settings.templates.items():
        known[id_] = TemplateLimits(
            signature=signature, text=template.text, variables=dict(template.variables), links=template.links
        )
    default = known.get(settings.template, TemplateLimits(signature=signature))
    variables = default.variables or {settings.variable: None}
    known[settings.template] = default.model_copy(update={"default": True, "variables": variables})
    return build_account_book(TemplateAccount(name, settings.sign_name, settings.variable_characters), templates, known)


def read_receipt(name: str, entry: Mapping[str, Any], now: datetime) -> ReceiptReport | None:
    """Read a receipt and our own id in it; None if it belongs to no message."""
    if "success" not in entry:
        return None
    at, is_delivered = (
        parse_beijing_time(str(entry.get("report_time") or "")) or now,
        entry["success"] in (True, "true", "True"),
    )
    details = entry.get("err_code"), entry.get("err_msg"), at, entry.get("out_id"), entry.get("sms_size")
    return make_report(name, ReceiptFields(entry.get("biz_id"), _number(entry), is_delivered, *details))


def read_inbound(name: str, entry: Mapping[str, Any], now: datetime) -> Inbound | None:
    """Read an inbound message (SmsUp, help.aliyun.com/document_detail/101875.html)."""
    at, identity = parse_beijing_time(str(entry.get("send_time") or "")) or now, entry.get("sequence_id")
    to, signature = entry.get("dest_code"), entry.get("sign_name")
    return make_inbound(name, InboundFields(_number(entry), entry.get("content"), at, identity, to, signature))


def _number(entry: Mapping[str, Any]) -> str | None:
    number = entry.get("phone_number")
    return numbers.read(str(number)) if number is not None else None
