"""Twilio's Messages API, version 2010-04-01: one call sends any text to one number; status callbacks follow."""

import asyncio
import base64
import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from imsg_contract.results import Again, Blocked, Refused, Sent, Unknown
from imsg_contract.wire import Inbound, Receipt, Status
from imsg_sms.account_settings import Twilio
from imsg_sms.providers import (
    FetchReports,
    HookReply,
    HookRequest,
    NotSigned,
    ProviderReply,
    ReceiptReport,
    ReportBatch,
    numbers,
)
from imsg_sms.providers.context import ProviderContext
from imsg_sms.providers.inbound import InboundFields, make_inbound
from imsg_sms.providers.meanings import (
    RETRY_BLOCKED_S,
    SERVER_ERROR,
    CodeTable,
    Meaning,
    clean_text,
    make_failure_reply,
    make_unreadable_reply,
)
from imsg_sms.providers.template_provider import read_object
from imsg_sms.providers.twilio_signature import is_signed
from imsg_sms.templates import Message, TemplateBook, build_text_book
from imsg_web.http_pool import HttpPool, NoAnswer, NotSent

KIND = "twilio"
VERSION = "2010-04-01"
FORM = "application/x-www-form-urlencoded"
MAX_CHARACTERS = 1_600

_RECIPIENT = ("21211", "21614", "21610", "21612", "21635", "21408", "21421", "21217", "21401")
_CONTENT = ("21602", "21617", "21619", "21605")
_SENDER = ("21212", "21606", "21659", "21660", "21661", "21603", "21703", "21704", "21705", "21611")
_ACCOUNT = ("20003", "20005", "20006", "20403", "21608", "30002", "90010")

CODES: Mapping[str, Meaning] = {
    **dict.fromkeys(_RECIPIENT, Meaning(Refused, "recipient")),
    **dict.fromkeys(_CONTENT, Meaning(Refused, "content")),
    **dict.fromkeys(_SENDER, Meaning(Blocked, "sender")),
    **dict.fromkeys(_ACCOUNT, Meaning(Blocked, "account")),
    "20429": Meaning(Again, "provider", is_rate_limit=True),
    "20500": Meaning(Again, "provider"),
    "20503": Meaning(Again, "provider"),
}
"""twilio.com/docs/api/errors, read November 2026; 21608 is a trial account, which may write to verified numbers only.
20429 says that nothing was taken."""

BY_PREFIX: Mapping[str, Meaning] = {
    "204": Meaning(Blocked, "account"),
    "200": Meaning(Blocked, "account"),
    "205": Meaning(Unknown, "provider"),
    "21": Meaning(Refused, "content"),
    "": Meaning(Again, "content"),
}
"""Prefixes of codes: 20 the API and the login, 21 the request."""

TABLE = CodeTable(CODES, BY_PREFIX)

STATUSES: Mapping[str, Status] = {
    "delivered": Status.DELIVERED,
    "read": Status.DELIVERED,
    "undelivered": Status.FAILED,
    "failed": Status.FAILED,
    "canceled": Status.FAILED,
}
"""The final statuses; accepted, scheduled, queued, sending and sent add nothing to the response."""


PRICE_AFTER_S = (5.0, 60.0, 600.0, 3_600.0, 21_600.0)
"""How long after a receipt the price is looked up, and after each look-up that found none: Twilio names it late."""

MAX_UNPRICED = 50_000
"""Receipts that wait for a price; of more the oldest stay without."""

PRICES_AT_ONCE = 20


class UnpricedReceipt(NamedTuple):
    """A receipt whose message has no price yet."""

    due: float
    receipt: Receipt
    tries: int


def make(name: str, account: Twilio, context: ProviderContext) -> "TwilioProvider":
    """Make the provider of an account."""
    book = build_text_book(name, context.templates, signature=account.signature, suffix=account.suffix)
    return TwilioProvider(name, account, context.pool, book, context.public_url)


class TwilioProvider:
    """An account at Twilio. It has no idempotency keys, and can't be asked by our own id."""

    kind = KIND
    max_numbers = 1
    mixes_countries = True
    takes_text = True
    takes_signature = True
    accepted_reply = HookReply("", 204)
    unreadable_reply = HookReply("not a status callback", 400, "text/plain")
    retry_reply = HookReply("not recorded, please repeat", 503, "text/plain")

    def __init__(
        self,
        name: str,
        settings: Twilio,
        pool: HttpPool,
        book: TemplateBook,
        public_url: str,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._settings = settings
        self._pool = pool
        self._now = now
        self._book = book
        self.limits = book.limits
        self.countries = settings.countries
        self.secret = settings.hook
        account = quote(settings.account_sid, safe="")
        self._url = f"{settings.endpoint.rstrip('/')}/{VERSION}/Accounts/{account}/Messages.json"
        key = settings.key_secret or settings.auth_token
        login = f"{settings.key_sid or settings.account_sid}:{key.get_secret_value()}".encode()
        self._headers = {
            "authorization": f"Basic {base64.b64encode(login).decode()}",
            "content-type": FORM,
            "accept": "application/json",
        }
        self._message_url = self._url.removesuffix(".json")
        self._unpriced: deque[UnpricedReceipt] = deque(maxlen=MAX_UNPRICED)
        self.pulls: Sequence[FetchReports] = (self._pull_prices,)
        self._callback = (
            f"{public_url.rstrip('/')}/hooks/sms/{self.name}/{self.secret}" if public_url and self.secret else ""
        )

    async def send(self, message: Message, addresses: Sequence[str], reference: str) -> ProviderReply:
        """Create one message; never raises."""
        del reference  # Twilio returns no id of ours
        if not message.has_words:
            detail = f"The text of the template {message.template} is not known: describe it under [sms.templates]."
            blocked = Blocked(
                self.name, f"{self.name} template {message.template}", "no_words", detail, RETRY_BLOCKED_S
            )
            return ProviderReply(blocked, concerns="template")
        template = self._book.find(message)
        text = f"{template.signature}{template.text}"
        if len(text) > MAX_CHARACTERS:
            detail = f"Twilio takes at most {MAX_CHARACTERS} characters, this has {len(text)}."
            return ProviderReply(Refused(self.name, "21617", detail), concerns="content")
        form = {"To": addresses[0], "Body": text}
        if self._settings.messaging_service_sid:
            form["MessagingServiceSid"] = self._settings.messaging_service_sid
        else:
            form["From"] = self._settings.sender
        if self._callback:
            form["StatusCallback"] = self._callback
        try:
            answer = await self._pool.call("POST", self._url, self._headers, urlencode(form).encode())
        except (NotSent, NoAnswer) as error:
            return make_failure_reply(self.name, error)
        return self._classify_response(answer.status_code, read_object(answer))

    def read(self, push: HookRequest) -> ReportBatch | None:
        """Read a status callback or an inbound message. Raises NotSigned if the account did not sign it."""
        key = self._settings.signing_key
        if not is_signed(
            push.url,
            push.headers,
            push.body,
            self._settings.auth_token.get_secret_value(),
            key.get_secret_value() if key else None,
        ):
            raise NotSigned(f"X-Twilio-Signature does not fit the call, as one of {_find_origin(push.url)}")
        fields = _read_fields(push)
        if fields is None:
            return None
        now = datetime.fromtimestamp(self._now(), UTC)
        if (message := read_inbound(self.name, fields, now)) is not None:
            return ReportBatch((), inbound=(message,))
        report = read_status(self.name, fields, now)
        if report is None:
            return ReportBatch((), 0 if fields.get("MessageStatus") else 1)
        self._unpriced.append(UnpricedReceipt(self._now() + PRICE_AFTER_S[0], report.receipt, 0))
        return ReportBatch((report,))

    async def _pull_prices(self) -> ReportBatch:
        """Query the prices of messages whose receipts have come, and return these receipts with them.

        They wait in memory alone: where the process ends before, the cost of a message stays an estimate.
        Raises NotSent, NoAnswer.
        """
        now = self._now()
        due = [unpriced for unpriced in self._unpriced if unpriced.due <= now][:PRICES_AT_ONCE]
        prices = await asyncio.gather(*(self._find_price(unpriced.receipt) for unpriced in due))
        for unpriced, receipt in zip(due, prices, strict=True):
            self._unpriced.remove(unpriced)
            if receipt is None and (tries := unpriced.tries + 1) < len(PRICE_AFTER_S):
                self._unpriced.append(UnpricedReceipt(now + PRICE_AFTER_S[tries], unpriced.receipt, tries))
        return ReportBatch([ReceiptReport(receipt) for receipt in prices if receipt is not None])

    async def _find_price(self, receipt: Receipt) -> Receipt | None:
        """Return a receipt with the price of its message (twilio.com/docs/messaging/api/message-resource)."""
        url = f"{self._message_url}/{quote(receipt.provider_id, safe='')}.json"
        body = read_object(await self._pool.call("GET", url, self._headers, b""))
        price, currency, segments = (body.get(name) for name in ("price", "price_unit", "num_segments"))
        if price is None or currency is None:
            return None
        text = str(segments)
        bill = {"price": str(price).removeprefix("-"), "currency": str(currency).upper()}
        return receipt.model_copy(
            update={**bill, "segments": int(text) if text.isascii() and text.isdecimal() else None}
        )

    def _classify_response(self, status: int, body: Mapping[str, Any]) -> ProviderReply:
        if status < 300 and body.get("sid"):  # noqa: PLR2004  HTTP's successes
            return ProviderReply(Sent(self.name, str(body["sid"])))
        code = body.get("code")
        if not isinstance(code, int):
            return make_unreadable_reply(self.name, status)
        if str(code) not in CODES and status >= SERVER_ERROR:
            return ProviderReply(Unknown(self.name, str(code), str(body.get("message") or "")), concerns="provider")
        return TABLE.make_reply(
            self.name,
            str(code),
            str(body.get("message") or ""),
            now=self._now(),
            raw=json.dumps(body, ensure_ascii=False),
        )


def _find_origin(url: str) -> str:
    """Return the scheme and host of a URL, for the log: its path holds a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _read_fields(push: HookRequest) -> Mapping[str, str] | None:
    """Parse a form or JSON, depending on the account's settings; None if it is neither."""
    text = push.body.decode("utf-8", "replace")
    if push.headers.get("content-type", "").startswith(FORM):
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return {str(name): str(value) for name, value in body.items()} if isinstance(body, dict) else None


def read_inbound(name: str, fields: Mapping[str, str], now: datetime) -> Inbound | None:
    """Read an inbound message (twilio.com/docs/messaging/guides/webhook-request); None for a status callback."""
    if "Body" not in fields or "MessageStatus" in fields:
        return None
    address, to = numbers.read(fields.get("From", "")), fields.get("To")
    kind = fields.get("OptOutType")
    inbound_fields = InboundFields(
        address, fields["Body"], now, fields.get("MessageSid"), to, opt_out=kind == "STOP", opt_in=kind == "START"
    )
    return make_inbound(name, inbound_fields)


def read_status(name: str, fields: Mapping[str, str], now: datetime) -> ReceiptReport | None:
    """Read a status callback; None if the status is not final, or it belongs to no message."""
    status = STATUSES.get(fields.get("MessageStatus", ""))
    identity, address = fields.get("MessageSid", ""), numbers.read(fields.get("To", ""))
    if status is None or not identity or address is None:
        return None
    code = fields.get("ErrorCode", "")
    receipt = Receipt(
        provider=name,
        provider_id=clean_text(identity),
        address=address,
        status=status,
        code=clean_text(code) if code and code != "0" else None,
        detail=clean_text(fields.get("ErrorMessage", ""))
        or (fields["MessageStatus"] if status is Status.FAILED else None),
        at=now.astimezone(UTC),
    )
    return ReceiptReport(receipt)
