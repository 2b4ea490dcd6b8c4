"""The base class of providers that send by approved templates, answer in JSON and push JSON to our hook."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from imsg_channels.sms_templates import SmsTemplate
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.wire import Inbound, Receipt, Status
from imsg_sms.account_settings import Aliyun, Tencent, Volcengine
from imsg_sms.providers import HookReply, HookRequest, ProviderReply, ReceiptReport, ReportBatch
from imsg_sms.providers.entries import read_entries
from imsg_sms.providers.meanings import CodeTable, clean_text, make_failure_reply
from imsg_sms.templates import Message, ProviderTemplate, TemplateAccount, TemplateBook, bracket, build_account_book
from imsg_web.http_pool import HttpAnswer, HttpPool, NoAnswer, NotSent

Signing = Callable[[bytes], Mapping[str, str]]
"""Makes the headers of a call with this body, its signature among them."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a provider's API."""

    host: str
    """The host that is signed, with its port if there is one."""
    path: str
    url: str

    @classmethod
    def read(cls, url: str) -> "Endpoint":
        """Parse a URL; a login in it is left out."""
        parts = urlsplit(url)
        host, path = parts.netloc.rpartition("@")[2], parts.path or "/"
        return cls(host, path, f"{parts.scheme}://{host}{path}")


@dataclass(frozen=True, slots=True)
class Hook:
    """The two JSON fields of the answer at our hook that a provider reads."""

    number: str
    words: str
    accepted_words: str = "OK"

    def reply(self, number: int, words: str, status: int = 200) -> HookReply:
        """Make an answer; the number 0 means that everything was recorded."""
        return HookReply(json.dumps({self.number: number, self.words: words}, ensure_ascii=False), status)


MAX_COUNT_DIGITS = 4


@dataclass(frozen=True, slots=True)
class ReceiptFields:
    """The unchecked fields of a receipt."""

    identity: object
    address: str | None
    is_delivered: bool
    code: object
    detail: object
    at: datetime
    reference: object = ""
    segments: object = None
    """As the provider charges them."""


class TemplateProvider(ABC):
    """Sends messages by the templates of an account. Subclasses make the calls and read the responses."""

    kind: ClassVar[str]
    table: ClassVar[CodeTable]
    hook: ClassVar[Hook]
    max_numbers: ClassVar[int]
    mixes_countries: ClassVar[bool] = False
    takes_text: ClassVar[bool] = False
    takes_signature: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        account: Aliyun | Tencent | Volcengine,
        pool: HttpPool,
        book: TemplateBook,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.limits = book.limits
        self.countries = account.countries
        self.secret = account.hook
        self.accepted_reply = self.hook.reply(0, self.hook.accepted_words)
        self.unreadable_reply = self.hook.reply(1, "not a JSON array of reports", 400)
        self.retry_reply = self.hook.reply(1, "not recorded, please repeat", 503)
        self._endpoint = Endpoint.read(account.endpoint)
        self._pool = pool
        self._book = book
        self._now = now

    async def send(self, message: Message, addresses: Sequence[str], reference: str) -> ProviderReply:
        """Make one call for these numbers (E.164); never raises."""
        template = self._book.find(message)
        try:
            status, body = await self._call_api(template, addresses, reference)
        except (NotSent, NoAnswer) as error:
            return make_failure_reply(self.name, error)
        return self._classify_answer(status, body, addresses, template)

    def read(self, push: HookRequest) -> ReportBatch | None:
        """Read a push. It is not signed: only the secret in the path protects the hook."""
        entries = read_entries(push.body)
        return None if entries is None else read_all(entries, self._read_entry, self._moment())

    @abstractmethod
    async def _call_api(
        self, template: ProviderTemplate, addresses: Sequence[str], reference: str
    ) -> tuple[int, Mapping[str, Any]]:
        """Make the call; return the status and the JSON object, empty if it is none. Raises NotSent, NoAnswer."""

    @abstractmethod
    def _classify_answer(
        self, status: int, body: Mapping[str, Any], addresses: Sequence[str], template: ProviderTemplate
    ) -> ProviderReply:
        """Return the reply for the numbers of a call."""

    @abstractmethod
    def _read_entry(self, entry: Mapping[str, Any], now: datetime) -> ReceiptReport | Inbound | None:
        """Read one entry of a push; None if it belongs to no message."""

    async def _post_json(self, parameters: Mapping[str, Any], signing: Signing, query: str = "") -> HttpAnswer:
        """Post JSON, signed over its bytes. Raises NotSent, NoAnswer."""
        body = json.dumps(parameters, ensure_ascii=False, separators=(",", ":")).encode()
        return await self._pool.call("POST", f"{self._endpoint.url}{query}", signing(body), body)

    def _classify_code(
        self, code: str, detail: str, body: Mapping[str, Any], template: ProviderTemplate
    ) -> ProviderReply:
        """Return the reply for a code; a block is of the template or signature that was used."""
        meaning = self.table.listed.get(code)
        about = {"template": template.id, "signature": template.signature}.get(meaning.concerns, "") if meaning else ""
        raw = json.dumps(body, ensure_ascii=False)
        return self.table.make_reply(self.name, code, detail, now=self._now(), about=about, raw=raw)

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)


def read_object(answer: HttpAnswer) -> Mapping[str, Any]:
    """Parse a response as a JSON object; empty if it is none."""
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def read_all(
    entries: Sequence[object],
    read_entry: Callable[[Mapping[str, Any], datetime], ReceiptReport | Inbound | None],
    now: datetime,
) -> ReportBatch:
    """Read entries into receipts and inbound messages, and count those that are neither."""
    reports = [read_entry(entry, now) if isinstance(entry, Mapping) else None for entry in entries]
    receipts = [report for report in reports if isinstance(report, ReceiptReport)]
    inbound = [report for report in reports if isinstance(report, Inbound)]
    return ReportBatch(receipts, len(entries) - len(receipts) - len(inbound), inbound)


def make_report(provider: str, fields: ReceiptFields) -> ReceiptReport | None:
    """Make a receipt; None if it has no message id or no number."""
    if not isinstance(fields.identity, str | int) or not str(fields.identity) or fields.address is None:
        return None
    receipt = Receipt(
        provider=provider,
        provider_id=clean_text(fields.identity),
        address=fields.address,
        status=Status.DELIVERED if fields.is_delivered else Status.FAILED,
        code=clean_text(fields.code) if fields.code else None,
        detail=clean_text(fields.detail) if fields.detail else None,
        at=fields.at.astimezone(UTC),
        segments=read_count(fields.segments),
    )
    return ReceiptReport(receipt, str(fields.reference or ""))


def read_count(value: object) -> int | None:
    """Read how many segments the provider charges; None if that is no number."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_COUNT_DIGITS else None


def build_template_book(name: str, account: Tencent | Volcengine, templates: Mapping[str, SmsTemplate]) -> TemplateBook:
    """Return an account's templates, its default template among them if it has one."""
    default = TemplateLimits(default=True, signature=bracket(account.sign_name), variables={account.variable: None})
    own = {account.template: default} if account.template else {}
    return build_account_book(TemplateAccount(name, account.sign_name, account.variable_characters), templates, own)
