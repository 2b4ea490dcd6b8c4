"""Twilio's Messages as senders meet them: Basic, a form, 201, and signed callbacks, out of order and repeated."""

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from imsg_runtime.responses import Answer
from imsg_sandbox.aliyun_signatures import Call
from imsg_sandbox.cut import Cut
from imsg_sandbox.faults import Fault, Faults
from imsg_sandbox.inbox import Inbox, Received
from imsg_sandbox.magic import NumberTrouble
from imsg_sandbox.sms_api import METHOD
from imsg_sandbox.sms_callbacks import Callback, Callbacks
from imsg_sandbox.sms_forms import Troubles, read_number, shown

NAME = "twilio"
MOST_CHARACTERS = 1_600

TROUBLES: Mapping[str, str] = {"isv.MOBILE_NUMBER_ILLEGAL": "21211", "isv.BUSINESS_LIMIT_CONTROL": "20429"}
REPORTS: Mapping[str, str] = {"MK:0001": "30003", "CONTENT_KEYWORD": "30007"}
"""Aliyun's receipt code of a magic number → Twilio's."""

_PATH = re.compile(r".*/2010-04-01/Accounts/([^/]+)/Messages\.json")


@dataclass(frozen=True, slots=True)
class Refusal(Exception):  # noqa: N818  a refusal as the provider words it
    """Why a message is refused."""

    code: int
    message: str
    status: int = 400


@dataclass(frozen=True, slots=True)
class Account:
    """What is played."""

    sid: str
    token: str
    logins: Mapping[str, str]
    """Account sid or API key → its secret."""
    sender: str
    service_sid: str


@dataclass(frozen=True, slots=True)
class Message:
    """One that was taken."""

    sid: str
    to: str
    sender: str
    callback: str


@dataclass(slots=True)
class TwilioSms:
    """The service."""

    account: Account
    inbox: Inbox
    faults: Faults
    callbacks: Callbacks
    now: Callable[[], datetime]
    troubles: Troubles = field(default_factory=lambda: Troubles(TROUBLES))

    async def answer(self, call: Call) -> Response:
        """Answer a call."""
        try:
            self._admit(call)
            return await self._send(dict(call.form), call.body)
        except Refusal as refusal:
            said: dict[str, Any] = {
                "code": refusal.code,
                "message": refusal.message,
                "more_info": f"https://www.twilio.com/docs/errors/{refusal.code}",
                "status": refusal.status,
            }
            return Answer(said, refusal.status)

    def _admit(self, call: Call) -> None:
        """Check the login. Raises Refusal."""
        found = _PATH.fullmatch(call.path)
        scheme, _, given = call.headers.get("authorization", "").partition(" ")
        try:
            name, _, secret = base64.b64decode(given).decode().partition(":")
        except (ValueError, UnicodeDecodeError):
            name, secret = "", ""
        is_known = hmac.compare_digest(self.account.logins.get(name, "\0").encode(), secret.encode())
        if scheme.lower() != "basic" or not is_known or found is None or found[1] != self.account.sid:
            raise Refusal(20003, "Authenticate", 401)
        if call.method != "POST":
            raise Refusal(20004, "Method not allowed", 405)

    async def _send(self, form: Mapping[str, str], raw: bytes) -> Response:
        number, body, sender = self._check(form)
        if (code := self.troubles.refuses(number)) is not None:
            raise Refusal(int(code), f"{form['To']} is refused.", 429 if code == "20429" else 400)
        trouble = self.troubles.of(number)
        await asyncio.sleep(trouble.wait_s)
        now = self.now()
        message = Message(f"SM{secrets.token_hex(16)}", number, sender, form.get("StatusCallback", ""))
        self.inbox.keep(Received(METHOD, shown(number), sender, raw, now, text=body))
        if message.callback and trouble.report is not None and not self.faults.strike(METHOD, Fault.LOST_RECEIPT):
            await self._tell(message, trouble)
        if trouble.cut or self.faults.strike(METHOD, Fault.RESET_AFTER) is not None:
            return Cut()
        said: dict[str, Any] = {
            "sid": message.sid,
            "account_sid": self.account.sid,
            "status": "accepted" if form.get("MessagingServiceSid") else "queued",
            "to": number,
            "from": sender or None,
            "body": body,
            "num_segments": "1",
            "error_code": None,
            "error_message": None,
            "date_created": format_datetime(now),
            "date_updated": format_datetime(now),
            "date_sent": None,
            "direction": "outbound-api",
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "num_media": "0",
            "price": None,
            "price_unit": "USD",
            "api_version": "2010-04-01",
            "uri": f"/2010-04-01/Accounts/{self.account.sid}/Messages/{message.sid}.json",
            "subresource_uris": {},
        }
        return Answer(said, 201)

    def _check(self, form: Mapping[str, str]) -> tuple[str, str, str]:
        """Check a message; return its number, words and sender. Raises Refusal."""
        if not (to := form.get("To")):
            raise Refusal(21604, "A 'To' phone number is required.")
        number = read_number(to) if to.startswith("+") else None
        if number is None:
            raise Refusal(21211, f"The 'To' number {to} is not a valid phone number.")
        if not (body := form.get("Body")):
            raise Refusal(21602, "Message body is required.")
        if len(body) > MOST_CHARACTERS:
            raise Refusal(21617, f"The concatenated message body exceeds the {MOST_CHARACTERS} character limit.")
        sender, service = form.get("From", ""), form.get("MessagingServiceSid", "")
        if not sender and not service:
            raise Refusal(21603, "A 'From' phone number is required.")
        if (sender and sender != self.account.sender) or (service and service != self.account.service_sid):
            raise Refusal(21606, "The 'From' is not a number of yours that can send this.")
        return number, body, sender or service

    async def _tell(self, message: Message, trouble: NumberTrouble) -> None:
        """Call back out of order, and the end twice, as may happen."""
        is_delivered = trouble.report == "DELIVERED"
        end = self._callback(
            message,
            "delivered" if is_delivered else "undelivered",
            "" if is_delivered else REPORTS.get(trouble.report or "", "30008"),
        )
        if trouble.early:
            await self.callbacks.push_now(end)
        else:
            self.callbacks.push(end)
        self.callbacks.push(self._callback(message, "sent", ""))
        self.callbacks.push(end)

    def _callback(self, message: Message, status: str, code: str) -> Callback:
        fields = {
            "AccountSid": self.account.sid,
            "ApiVersion": "2010-04-01",
            "From": message.sender,
            "MessageSid": message.sid,
            "MessageStatus": status,
            "SmsSid": message.sid,
            "SmsStatus": status,
            "To": message.to,
            **({"ErrorCode": code} if code else {}),
        }
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "x-twilio-signature": sign(message.callback, fields, self.account.token),
        }
        return Callback(message.callback, urlencode(fields).encode(), headers)


def sign(url: str, fields: Mapping[str, str], token: str) -> str:
    """Sign a callback: the URL, then each name and value, sorted."""
    said = url
    for name in sorted(fields):
        said += name + fields[name]
    return base64.b64encode(hmac.new(token.encode(), said.encode(), hashlib.sha1).digest()).decode()
