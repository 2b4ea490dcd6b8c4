"""The base of providers that send by approved templates, answer in JSON and push JSON to our hook."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from imsg_channels.sms_templates import SmsTemplate
from imsg_contract.wire import Inbound, Receipt, Status, TemplateLimits
from imsg_sms.providers import Answer, Push, Reply, Report, Reports
from imsg_sms.providers.entries import read_entries
from imsg_sms.providers.meanings import Codes, judge_failure, plain
from imsg_sms.settings import Aliyun, Tencent, Volcengine
from imsg_sms.templates import Account, Message, ProviderTemplate, TemplateBook, describe, mark
from imsg_web.http_pool import HttpAnswer, HttpPool, NoAnswer, NotSent

Signing = Callable[[bytes], Mapping[str, str]]
"""Makes the headers of a call with this body, its signature among them."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider's API is."""

    host: str
    """With its port where one is given: as it is signed."""
    path: str
    url: str

    @classmethod
    def read(cls, url: str) -> "Endpoint":
        """Read a URL; a login in it is left out."""
        parts = urlsplit(url)
        host, path = parts.netloc.rpartition("@")[2], parts.path or "/"
        return cls(host, path, f"{parts.scheme}://{host}{path}")


@dataclass(frozen=True, slots=True)
class Hook:
    """The answers at our hook: the two fields that a provider reads."""

    number: str
    words: str
    kept_words: str = "OK"

    def reply(self, number: int, words: str, status: int = 200) -> Reply:
        """Make an answer; 0 says that all is kept."""
        return Reply(json.dumps({self.number: number, self.words: words}, ensure_ascii=False), status)


@dataclass(frozen=True, slots=True)
class ReceiptFields:
    """The fields of a receipt as a provider wrote them, not checked yet."""

    identity: object
    address: str | None
    is_delivered: bool
    code: object
    detail: object
    at: datetime
    reference: object = ""


class TemplateProvider(ABC):
    """The frame: a message becomes a call by one of the account's templates, and what it answers an Answer."""

    kind: ClassVar[str]
    table: ClassVar[Codes]
    hook: ClassVar[Hook]
    most: ClassVar[int]
    mixes_countries: ClassVar[bool] = False
    takes_text: ClassVar[bool] = False

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
        self.kept = self.hook.reply(0, self.hook.kept_words)
        self.unreadable_reply = self.hook.reply(1, "not a JSON array of reports", 400)
        self.lost = self.hook.reply(1, "not kept, please repeat", 503)
        self._at = Endpoint.read(account.endpoint)
        self._pool = pool
        self._book = book
        self._now = now

    async def send(self, message: Message, numbers_: Sequence[str], reference: str) -> Answer:
        """Make one call for these numbers (E.164); never raises."""
        used = self._book.find(message)
        try:
            status, said = await self._call_api(used, numbers_, reference)
        except (NotSent, NoAnswer) as error:
            return judge_failure(self.name, error)
        return self._judge_answer(status, said, numbers_, used)

    def read(self, push: Push) -> Reports | None:
        """Read a push; it is not signed, so that its secret path alone keeps others away."""
        entries = read_entries(push.body)
        return None if entries is None else read_all(entries, self._read_entry, self._moment())

    @abstractmethod
    async def _call_api(
        self, used: ProviderTemplate, numbers_: Sequence[str], reference: str
    ) -> tuple[int, Mapping[str, Any]]:
        """Make the call; its status, and what it answers, empty where that is no JSON. Raises NotSent, NoAnswer."""

    @abstractmethod
    def _judge_answer(
        self, status: int, said: Mapping[str, Any], numbers_: Sequence[str], used: ProviderTemplate
    ) -> Answer:
        """Say what became of the numbers."""

    @abstractmethod
    def _read_entry(self, entry: Mapping[str, Any], now: datetime) -> Report | Inbound | None:
        """Read one entry of a push; None where it matches nothing."""

    async def _post_json(self, asked: Mapping[str, Any], signing: Signing, query: str = "") -> HttpAnswer:
        """Post JSON, signed over the very bytes that are sent. Raises NotSent, NoAnswer."""
        body = json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode()
        return await self._pool.call("POST", f"{self._at.url}{query}", signing(body), body)

    def _judge_code(self, code: str, detail: str, said: Mapping[str, Any], used: ProviderTemplate) -> Answer:
        """Say what a code means; what is blocked goes by the template or signature that was used."""
        meaning = self.table.listed.get(code)
        about = {"template": used.id, "signature": used.signature}.get(meaning.concerns, "") if meaning else ""
        raw = json.dumps(said, ensure_ascii=False)
        return self.table.judge(self.name, code, detail, now=self._now(), about=about, raw=raw)

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)


def read_object(answer: HttpAnswer) -> Mapping[str, Any]:
    """Read an answer as a JSON object; empty where it is none."""
    try:
        said = answer.json()
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def read_all(
    entries: Sequence[object], read: Callable[[Mapping[str, Any], datetime], Report | Inbound | None], now: datetime
) -> Reports:
    """Read entries into receipts and inbound messages; what is neither is counted."""
    found = [read(entry, now) if isinstance(entry, Mapping) else None for entry in entries]
    receipts = [one for one in found if isinstance(one, Report)]
    inbound = [one for one in found if isinstance(one, Inbound)]
    return Reports(receipts, len(entries) - len(receipts) - len(inbound), inbound)


def report(provider: str, found: ReceiptFields) -> Report | None:
    """Make a receipt; None where no message can be found by it."""
    if not isinstance(found.identity, str | int) or not str(found.identity) or found.address is None:
        return None
    receipt = Receipt(
        provider=provider,
        provider_id=plain(found.identity),
        address=found.address,
        status=Status.DELIVERED if found.is_delivered else Status.FAILED,
        code=plain(found.code) if found.code else None,
        detail=plain(found.detail) if found.detail else None,
        at=found.at.astimezone(UTC),
    )
    return Report(receipt, str(found.reference or ""))


def build_templates(name: str, account: Tencent | Volcengine, templates: Mapping[str, SmsTemplate]) -> TemplateBook:
    """Say what an account's templates take, its default template among them where it has one."""
    default = TemplateLimits(default=True, signature=mark(account.sign_name), variables={account.variable: None})
    own = {account.template: default} if account.template else {}
    return describe(Account(name, account.sign_name, account.variable_characters), templates, own)
