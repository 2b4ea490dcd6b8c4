"""Alibaba Cloud's SMS service, version 2017-05-25: SendSms, and QuerySendDetails for what was never answered."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
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
from imsg_sms.providers import Answer, numbers
from imsg_sms.providers.aliyun_signature import Request, encode, headers
from imsg_sms.providers.clients import Clients, NoAnswer, NotSent
from imsg_sms.receipts import Receipts
from imsg_sms.settings import Aliyun
from imsg_sms.templates import Message

log = logger(__name__)

NAME = "aliyun"
VERSION = "2017-05-25"
FORM = "application/x-www-form-urlencoded"
BEIJING = timezone(timedelta(hours=8))
"""The provider's dates and hours, wherever we are."""

MOST = 1_000
QUERY_CHARACTERS = 4_000
"""Longer parameters travel in the body: servers and proxies bound a URL at 8 KiB."""

PAGE_SIZE = 50
MAX_PAGES = 20
TRACES_AT_ONCE = 8
LOOK_AGAIN_S = 60.0
OK = "OK"
SERVER_ERROR = 500
TOO_MANY = 429

_PERMANENT = (
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
_ACCOUNT = (
    "isv.AMOUNT_NOT_ENOUGH",
    "isv.OUT_OF_SERVICE",
    "isv.ACCOUNT_NOT_EXISTS",
    "isv.ACCOUNT_ABNORMAL",
    "isv.SMS_TEMPLATE_ILLEGAL",
    "isv.SMS_SIGNATURE_ILLEGAL",
    "isv.SMS_SIGNATURE_SCENE_ILLEGAL",
    "isv.SIGN_STATE_ILLEGAL",
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


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says: for whom, and what follows."""

    result: type[Refused | Again | Blocked]
    of_one: bool = False
    of_provider: bool = False


CODES: Mapping[str, Meaning] = {
    **dict.fromkeys(_PERMANENT, Meaning(Refused)),
    **dict.fromkeys(_OF_A_NUMBER, Meaning(Refused, of_one=True)),
    **dict.fromkeys(_ACCOUNT, Meaning(Blocked, of_provider=True)),
    **dict.fromkeys(_BUSY, Meaning(Again, of_provider=True)),
    "isv.BUSINESS_LIMIT_CONTROL": Meaning(Again, of_one=True),
}
"""help.aliyun.com/document_detail/101346.html. A code nobody knows is Again; for which time a frequency limit holds
stands in its message (`_slow_down`)."""

UNKNOWN_CODE = Meaning(Again)
THROTTLED = Meaning(Again, of_provider=True)


class AliyunProvider:
    """The provider."""

    name = NAME
    most = MOST

    def __init__(
        self, settings: Aliyun, clients: Clients, receipts: Receipts, now: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._receipts = receipts
        self._now = now
        parts = urlsplit(settings.endpoint)
        self._host = parts.netloc.rpartition("@")[2]
        self._path = parts.path or "/"
        self._root = f"{parts.scheme}://{self._host}{self._path}"
        self.limits = limits(settings)

    async def send(self, message: Message, numbers_: Sequence[str], reference: str) -> Answer:
        """SendSms: one content for up to 1,000 numbers, accepted or refused whole."""
        parameters = {
            "PhoneNumbers": ",".join(map(numbers.format_number, numbers_)),
            "SignName": self._settings.sign_name,
            "TemplateCode": message.template or self._settings.template,
            "TemplateParam": json.dumps(dict(message.params), ensure_ascii=False, separators=(",", ":")),
            "OutId": reference,
        }
        try:
            status, said = await self._call("SendSms", parameters)
        except NotSent as error:
            return Answer(Again(NAME, "unreachable", f"The provider can't be reached: {error}"), of_provider=True)
        except NoAnswer as error:
            return Answer(Unknown(NAME, "no_answer", f"The provider did not answer: {error}"), of_provider=True)
        return self._meant(status, said)

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

    def _meant(self, status: int, said: Mapping[str, Any]) -> Answer:
        code, detail = said.get("Code"), str(said.get("Message") or "")
        if code == OK and status < SERVER_ERROR:
            return Answer(Sent(NAME, str(said.get("BizId") or "") or None, detail or None))
        if not isinstance(code, str) or not code:
            return _unreadable(status)
        meaning = THROTTLED if code.startswith("Throttling") else CODES.get(code)
        if meaning is None and status >= SERVER_ERROR:
            return Answer(Unknown(NAME, code, detail), of_provider=True)
        meaning = meaning or UNKNOWN_CODE
        if code == "isv.BUSINESS_LIMIT_CONTROL":
            return Answer(self._slow_down(code, detail), meaning.of_one)
        result: Result
        if meaning.result is Blocked:
            result = Blocked(NAME, NAME, code, detail, LOOK_AGAIN_S)
        else:
            result = Again(NAME, code, detail) if meaning.result is Again else Refused(NAME, code, detail)
        return Answer(result, meaning.of_one, meaning.of_provider)

    def _slow_down(self, code: str, detail: str) -> Result:
        """Read which limit a number has reached: minutes and hours are the clock's, a day lasts 24 hours."""
        if "天级" in detail:
            return Refused(NAME, code, detail)
        if "小时级" in detail:
            return Again(NAME, code, detail, after_s=3_600 - self._now() % 3_600)
        return Again(NAME, code, detail, after_s=60.0)


def limits(settings: Aliyun) -> Mapping[str, TemplateLimits]:
    """Say what the account's templates take; the default one is known even where nothing else of it is."""
    known: dict[str, TemplateLimits] = {}
    for name, one in settings.templates.items():
        known[name] = TemplateLimits(
            signature=f"【{settings.sign_name}】", text=one.text, variables=dict(one.variables), links=one.links
        )
    default = known.get(settings.template, TemplateLimits(signature=f"【{settings.sign_name}】"))
    variables = default.variables or {settings.variable: None}
    known[settings.template] = default.model_copy(update={"default": True, "variables": variables})
    return known


def moment(text: str) -> datetime | None:
    """Read the provider's `2017-08-30 00:00:00`, which is Beijing's time; None where it is none."""
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=BEIJING)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _unreadable(status: int) -> Answer:
    """Judge an answer without a code: only a refusal by status says that nothing was taken."""
    why = f"The provider answered {status}, and nothing that can be read."
    if status == TOO_MANY or 300 <= status < SERVER_ERROR:  # noqa: PLR2004  HTTP's redirections and client errors
        return Answer(Again(NAME, f"http_{status}", why), of_provider=True)
    return Answer(Unknown(NAME, f"http_{status}", why), of_provider=True)
