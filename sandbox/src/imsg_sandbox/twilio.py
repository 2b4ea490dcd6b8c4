"""Twilio's Messages as senders use them: Basic, a form, 201, and signed callbacks, out of order and repeated."""

import base64
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from imsg_contract.constant_time import equals
from imsg_sandbox.approved_templates import read_number
from imsg_sandbox.http_faults import BrokenResponse
from imsg_sandbox.signatures import Call
from imsg_sandbox.sms_callbacks import Callback
from imsg_sandbox.sms_provider import AcceptedCall, Refusal, Sms, SmsContext, SmsProvider
from imsg_web.responses import ApiResponse

MAX_CHARACTERS = 1_600

CODES: Mapping[str, str] = {"isv.MOBILE_NUMBER_ILLEGAL": "21211", "isv.BUSINESS_LIMIT_CONTROL": "20429"}
REPORTS: Mapping[str, str] = {"MK:0001": "30003", "CONTENT_KEYWORD": "30007"}
"""Aliyun's receipt code of a magic number → Twilio's."""

_PATH = re.compile(r".*/2010-04-01/Accounts/([^/]+)/(Messages|Balance|Messages/SM[0-9a-f]{32})\.json")

PRICE = "-0.00830"
"""Of each message: Twilio's prices are negative."""

MESSAGES = "Messages"
BALANCE = "Balance"
"""twilio.com/docs/usage/api/balance"""


@dataclass(frozen=True, slots=True)
class Account:
    """The account that is played."""

    sid: str
    token: str
    logins: Mapping[str, str]
    """Account sid or API key → its secret."""
    sender: str
    service_sid: str
    hook: str | None = None
    """The URL that inbound messages go to."""


@dataclass(frozen=True, slots=True)
class Message:
    """One that was accepted."""

    sid: str
    to: str
    sender: str
    callback: str


class TwilioSms(SmsProvider):
    """The service."""

    codes = CODES

    def __init__(self, name: str, account: Account, context: SmsContext) -> None:
        super().__init__(name, context)
        self.account = account

    async def answer(self, call: Call) -> Response:
        """Answer a call."""
        try:
            resource = self._authenticate(call)
            if resource == BALANCE:
                return ApiResponse({"account_sid": self.account.sid, "balance": "100.00", "currency": "USD"})
            if resource != MESSAGES:
                sid = resource.removeprefix(f"{MESSAGES}/")
                return ApiResponse({"sid": sid, "num_segments": "1", "price": PRICE, "price_unit": "USD"})
            return await self._send(dict(call.form), call.body)
        except Refusal as refusal:
            error: dict[str, Any] = {
                "code": int(refusal.code),
                "message": refusal.message,
                "more_info": f"https://www.twilio.com/docs/errors/{refusal.code}",
                "status": refusal.status,
            }
            return ApiResponse(error, refusal.status)

    def _authenticate(self, call: Call) -> str:
        """Check the log-in; return the resource of the call. Raises Refusal."""
        match = _PATH.fullmatch(call.path)
        scheme, _, credentials = call.headers.get("authorization", "").partition(" ")
        try:
            name, _, secret = base64.b64decode(credentials).decode().partition(":")
        except (ValueError, UnicodeDecodeError):
            name, secret = "", ""
        is_known = equals(secret, self.account.logins.get(name, "\0"))
        if scheme.lower() != "basic" or not is_known or match is None or match[1] != self.account.sid:
            raise Refusal("20003", "Authenticate", 401)
        if call.method != ("POST" if match[2] == MESSAGES else "GET"):
            raise Refusal("20004", "Method not allowed", 405)
        return match[2]

    async def _send(self, form: Mapping[str, str], raw: bytes) -> Response:
        number, body, sender = self._check(form)
        if (code := self.magic.refuse(number)) is not None:
            raise Refusal(code, f"{form['To']} is refused.", 429 if code == "20429" else 400)
        message = Message(f"SM{secrets.token_hex(16)}", number, sender, form.get("StatusCallback", ""))
        accepted = await self.accept([Sms(number, sender, body, raw)])
        await self._call_back(message, accepted)
        if accepted.is_cut:
            return BrokenResponse()
        now = self.now()
        content: dict[str, Any] = {
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
        return ApiResponse(content, 201)

    def _check(self, form: Mapping[str, str]) -> tuple[str, str, str]:
        """Check a message; return its number, text and sender. Raises Refusal."""
        if not (to := form.get("To")):
            raise Refusal("21604", "A 'To' phone number is required.", 400)
        number = read_number(to) if to.startswith("+") else None
        if number is None:
            raise Refusal("21211", f"The 'To' number {to} is not a valid phone number.", 400)
        if not (body := form.get("Body")):
            raise Refusal("21602", "Message body is required.", 400)
        if len(body) > MAX_CHARACTERS:
            raise Refusal("21617", f"The concatenated message body exceeds the {MAX_CHARACTERS} character limit.", 400)
        sender, service = form.get("From", ""), form.get("MessagingServiceSid", "")
        if not sender and not service:
            raise Refusal("21603", "A 'From' phone number is required.", 400)
        if (sender and sender != self.account.sender) or (service and service != self.account.service_sid):
            raise Refusal("21606", "The 'From' is not a number of yours that can send this.", 400)
        return number, body, sender or service

    async def _call_back(self, message: Message, accepted: AcceptedCall) -> None:
        """Push the statuses out of order, and the last one twice, as Twilio may."""
        if not message.callback or not (accepted.early or accepted.late):
            return
        ((_, report),) = (*accepted.early, *accepted.late)
        is_delivered = report == "DELIVERED"
        end = self._callback(
            message,
            "delivered" if is_delivered else "undelivered",
            "" if is_delivered else REPORTS.get(report, "30008"),
        )
        await self.push(end if accepted.early else None, end if accepted.late else None)
        self.callbacks.push(self._callback(message, "sent", ""))
        self.callbacks.push(end)

    def make_reply(self, number: str, text: str, sender: str) -> Callback | None:
        """Return a signed push to the webhook of inbound messages."""
        if self.account.hook is None:
            return None
        sid = f"SM{secrets.token_hex(16)}"
        fields = {
            "AccountSid": self.account.sid, "ApiVersion": "2010-04-01", "Body": text, "From": number, "MessageSid": sid,
            "NumMedia": "0", "NumSegments": "1", "SmsSid": sid, "SmsStatus": "received", "To": sender,
        }  # fmt: skip
        return self._sign_callback(self.account.hook, fields)

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
        return self._sign_callback(message.callback, fields)

    def _sign_callback(self, url: str, fields: Mapping[str, str]) -> Callback:
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "x-twilio-signature": sign(url, fields, self.account.token),
        }
        return Callback(url, urlencode(fields).encode(), headers)


def sign(url: str, fields: Mapping[str, str], token: str) -> str:
    """Return the signature of a callback: of the URL, then each name and value, sorted by name."""
    to_sign = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.digest(token.encode(), to_sign.encode(), "sha1")).decode()
