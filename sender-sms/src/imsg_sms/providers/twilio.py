"""Twilio's Messages, version 2010-04-01: any words to one number a call, and the status callbacks that follow."""

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from imsg_contract.wire import Again, Blocked, Inbound, Receipt, Refused, Sent, Status, Unknown
from imsg_sms.providers import Answer, NotSigned, Push, Reply, Report, Reports, numbers
from imsg_sms.providers.context import ProviderContext
from imsg_sms.providers.inbound import InboundFields, inbound
from imsg_sms.providers.meanings import LOOK_AGAIN_S, SERVER_ERROR, Codes, Meaning, judge_failure, plain, unreadable
from imsg_sms.providers.twilio_signature import is_signed
from imsg_sms.settings import Twilio
from imsg_sms.templates import Message, TemplateBook, describe_text
from imsg_web.http_pool import HttpPool, NoAnswer, NotSent

KIND = "twilio"
VERSION = "2010-04-01"
FORM = "application/x-www-form-urlencoded"
MOST_CHARACTERS = 1_600

_RECIPIENT = ("21211", "21614", "21610", "21612", "21635", "21408", "21421", "21217", "21401")
_CONTENT = ("21602", "21617", "21619", "21605")
_SENDER = ("21212", "21606", "21659", "21660", "21661", "21603", "21703", "21704", "21705", "21611")
_ACCOUNT = ("20003", "20005", "20006", "20403", "21608", "30002", "90010")

CODES: Mapping[str, Meaning] = {
    **dict.fromkeys(_RECIPIENT, Meaning(Refused, "recipient")),
    **dict.fromkeys(_CONTENT, Meaning(Refused, "content")),
    **dict.fromkeys(_SENDER, Meaning(Blocked, "sender")),
    **dict.fromkeys(_ACCOUNT, Meaning(Blocked, "account")),
    "20429": Meaning(Again, "provider", is_rate=True),
    "20500": Meaning(Again, "provider"),
    "20503": Meaning(Again, "provider"),
}
"""twilio.com/docs/api/errors, read November 2026; 21608 is a trial account, which may write to verified numbers only.
20429 says that nothing was taken."""

CLASSES: Mapping[str, Meaning] = {
    "204": Meaning(Blocked, "account"),
    "200": Meaning(Blocked, "account"),
    "205": Meaning(Unknown, "provider"),
    "21": Meaning(Refused, "content"),
    "": Meaning(Again, "content"),
}
"""By a code's beginning: 20 the API and its login, 21 what was asked of it."""

TABLE = Codes(CODES, CLASSES)

STATUSES: Mapping[str, Status] = {
    "delivered": Status.DELIVERED,
    "read": Status.DELIVERED,
    "undelivered": Status.FAILED,
    "failed": Status.FAILED,
    "canceled": Status.FAILED,
}
"""What settles a message; accepted, scheduled, queued, sending and sent say no more than its answer did."""


def make(name: str, account: Twilio, context: ProviderContext) -> "TwilioProvider":
    """Make an account's provider."""
    book = describe_text(name, context.templates, signature=account.signature, suffix=account.suffix)
    return TwilioProvider(name, account, context.pool, book, context.public_url)


class TwilioProvider:
    """The provider. It has no idempotency key, and can't be asked by an id of ours."""

    kind = KIND
    most = 1
    mixes_countries = True
    takes_text = True
    kept = Reply("", 204)
    unreadable_reply = Reply("not a status callback", 400, "text/plain")
    lost = Reply("not kept, please repeat", 503, "text/plain")

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
        self._callback = (
            f"{public_url.rstrip('/')}/hooks/sms/{self.name}/{self.secret}" if public_url and self.secret else ""
        )

    async def send(self, message: Message, numbers_: Sequence[str], reference: str) -> Answer:
        """Create one message."""
        del reference  # nothing of ours comes back
        if not message.has_words:
            detail = f"Nobody told the words of the template {message.template}: describe it under [sms.templates]."
            blocked = Blocked(self.name, f"{self.name} template {message.template}", "no_words", detail, LOOK_AGAIN_S)
            return Answer(blocked, concerns="template")
        used = self._book.find(message)
        text = f"{used.signature}{used.text}"
        if len(text) > MOST_CHARACTERS:
            detail = f"Twilio takes at most {MOST_CHARACTERS} characters, this has {len(text)}."
            return Answer(Refused(self.name, "21617", detail), concerns="content")
        form = {"To": numbers_[0], "Body": text}
        if self._settings.messaging_service_sid:
            form["MessagingServiceSid"] = self._settings.messaging_service_sid
        else:
            form["From"] = self._settings.sender
        if self._callback:
            form["StatusCallback"] = self._callback
        try:
            answer = await self._pool.call("POST", self._url, self._headers, urlencode(form).encode())
        except (NotSent, NoAnswer) as error:
            return judge_failure(self.name, error)
        try:
            said = answer.json()
        except ValueError:
            said = {}
        return self._find_meaning(answer.status_code, said if isinstance(said, dict) else {})

    def read(self, push: Push) -> Reports | None:
        """Read a status callback, or a message that came in. Raises NotSigned where the account did not sign it."""
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
        if (written := read_inbound(self.name, fields, now)) is not None:
            return Reports((), inbound=(written,))
        read = read_status(self.name, fields, now)
        if read is None:
            return Reports((), 0 if fields.get("MessageStatus") else 1)
        return Reports((read,))

    def _find_meaning(self, status: int, said: Mapping[str, Any]) -> Answer:
        if status < 300 and said.get("sid"):  # noqa: PLR2004  HTTP's successes
            return Answer(Sent(self.name, str(said["sid"])))
        code = said.get("code")
        if not isinstance(code, int):
            return unreadable(self.name, status)
        if str(code) not in CODES and status >= SERVER_ERROR:
            return Answer(Unknown(self.name, str(code), str(said.get("message") or "")), concerns="provider")
        return TABLE.judge(
            self.name,
            str(code),
            str(said.get("message") or ""),
            now=self._now(),
            raw=json.dumps(said, ensure_ascii=False),
        )


def _find_origin(url: str) -> str:
    """Return the beginning of a URL, which the account signs too: scheme and host. Its path holds a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _read_fields(push: Push) -> Mapping[str, str] | None:
    """Read a form, or JSON where the account was set to it; None where it is neither."""
    text = push.body.decode("utf-8", "replace")
    if push.headers.get("content-type", "").startswith(FORM):
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return {str(name): str(value) for name, value in said.items()} if isinstance(said, dict) else None


def read_inbound(name: str, fields: Mapping[str, str], now: datetime) -> Inbound | None:
    """Read what somebody wrote (twilio.com/docs/messaging/guides/webhook-request); None of a status callback."""
    if "Body" not in fields or "MessageStatus" in fields:
        return None
    address, to = numbers.read(fields.get("From", "")), fields.get("To")
    kind = fields.get("OptOutType")
    written = InboundFields(
        address, fields["Body"], now, fields.get("MessageSid"), to, opt_out=kind == "STOP", opt_in=kind == "START"
    )
    return inbound(name, written)


def read_status(name: str, fields: Mapping[str, str], now: datetime) -> Report | None:
    """Read a callback; None where it settles nothing, or matches nothing."""
    status = STATUSES.get(fields.get("MessageStatus", ""))
    identity, address = fields.get("MessageSid", ""), numbers.read(fields.get("To", ""))
    if status is None or not identity or address is None:
        return None
    code = fields.get("ErrorCode", "")
    receipt = Receipt(
        provider=name,
        provider_id=plain(identity),
        address=address,
        status=status,
        code=plain(code) if code and code != "0" else None,
        detail=plain(fields.get("ErrorMessage", "")) or (fields["MessageStatus"] if status is Status.FAILED else None),
        at=now.astimezone(UTC),
    )
    return Report(receipt)
