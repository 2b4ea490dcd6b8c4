"""Volcengine's SMS service as senders meet it: signed calls, accepted or refused whole, and receipts pushed."""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from imsg_contract.constant_time import equals
from imsg_sandbox.aliyun_signatures import Call, escape
from imsg_sandbox.cut import Cut
from imsg_sandbox.sms_callbacks import Callback
from imsg_sandbox.sms_forms import Form, has_link, read_number, show_number
from imsg_sandbox.sms_played import Ground, Played, Refusal, Text, json_callback, read_object
from imsg_web.responses import Answer

ALGORITHM = "HMAC-SHA256"
WINDOW_S = 900
MOST_NUMBERS = 200

TROUBLES: Mapping[str, str] = {
    "isv.MOBILE_NUMBER_ILLEGAL": "RE:0006",
    "isv.BUSINESS_LIMIT_CONTROL": "RE:0013",
}

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=([^/]+)/([0-9]+)/([^/]+)/volcSMS/request, *SignedHeaders=([^,]+), *Signature=([0-9a-f]+)"
)


@dataclass(frozen=True, slots=True)
class Account:
    """What is played."""

    secrets: Mapping[str, str]
    """Access key id → secret."""
    group: str
    """SmsAccount."""
    signs: frozenset[str]
    forms: Mapping[str, Form]
    hook: str | None


class VolcengineSms(Played):
    """The service."""

    codes = TROUBLES

    def __init__(self, name: str, account: Account, ground: Ground) -> None:
        super().__init__(name, ground)
        self.account = account

    async def answer(self, call: Call) -> Response:
        """Answer a call."""
        metadata = {"RequestId": secrets.token_hex(16), "Action": "SendSms", "Version": "2020-01-01"}
        try:
            self._admit(call)
            identity, cut = await self._send(read_object(call.body, "RE:0009"), call.body)
        except Refusal as refusal:
            error = {"Code": refusal.code, "Message": refusal.message}
            return Answer({"ResponseMetadata": {**metadata, "Error": error}}, refusal.status)
        if cut:
            return Cut()
        return Answer({"ResponseMetadata": metadata, "Result": {"MessageID": [identity]}})

    def _admit(self, call: Call) -> None:
        """Check a signature by what arrived. Raises Refusal."""
        found = _AUTHORIZATION.fullmatch(call.headers.get("authorization", "").strip())
        if found is None:
            raise Refusal("InvalidAuthorization", "The Authorization header is not as it has to be.", 400)
        key_id, date, region, names, signature = found.groups()
        secret = self.account.secrets.get(key_id)
        if secret is None:
            raise Refusal("InvalidAccessKey", "The access key does not exist.", 401)
        stamp = call.headers.get("x-date", "")
        try:
            at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise Refusal("InvalidTimestamp", "X-Date has to be YYYYMMDDThhmmssZ.", 400) from None
        if abs((self.now() - at).total_seconds()) > WINDOW_S or not stamp.startswith(date):
            raise Refusal("InvalidTimestamp", "X-Date is over 15 minutes off.", 400)
        hashed = call.headers.get("x-content-sha256", hashlib.sha256(call.body).hexdigest())
        if hashed != hashlib.sha256(call.body).hexdigest():
            raise Refusal("SignatureDoesNotMatch", "X-Content-Sha256 is not the hash of the body.", 401)
        paths = dict.fromkeys((call.path, "/"))
        if not any(equals(signature, sign(call, names, secret, region, path)) for path in paths):
            raise Refusal("SignatureDoesNotMatch", "The signature does not match ours.", 401)
        if call.parameters.get("Action") != "SendSms" or call.parameters.get("Version") != "2020-01-01":
            raise Refusal("InvalidActionOrVersion", "There is no such action.", 404)

    async def _send(self, asked: Mapping[str, Any], raw: bytes) -> tuple[str, bool]:
        numbers, text = self._check(asked)
        for number in numbers:
            if (code := self.troubles.refuses(number)) is not None:
                raise Refusal(code, f"{show_number(number)} is refused, and the call with it.")
        identity, now, tag = str(secrets.token_hex(16)), self.now(), str(asked.get("Tag") or "")
        taken = await self.take(numbers, Text(str(asked["Sign"]), text, raw))
        early, late = (
            [self._report(number, identity, code, tag, now) for number, code in some]
            for some in (taken.early, taken.late)
        )
        await self.tell(json_callback(self.account.hook, early), json_callback(self.account.hook, late))
        return identity, taken.is_cut

    def answer_of_person(self, number: str, text: str, sender: str) -> Callback | None:
        """Push a list of one; the fields are unverified."""
        at = int(self.now().timestamp() * 1_000)
        said = {"mobile": show_number(number), "content": text, "sign": sender, "ext_code": "", "recv_time": at}
        return json_callback(self.account.hook, [{**said, "message_id": secrets.token_hex(8)}])

    def _check(self, asked: Mapping[str, Any]) -> tuple[Sequence[str], str]:
        """Check a call; return its numbers and its text. Raises Refusal."""
        if asked.get("SmsAccount") != self.account.group:
            raise Refusal("RE:0003", "The message group does not exist.")
        if asked.get("Sign") not in self.account.signs:
            raise Refusal("RE:0004", "The signature is not approved.")
        form = self.account.forms.get(str(asked.get("TemplateID")))
        if form is None:
            raise Refusal("RE:0005", "The template is not approved.")
        given = str(asked.get("PhoneNumbers") or "").split(",")
        numbers = [number for one in given if (number := read_number(one)) is not None]
        if len(numbers) < len(given) or len(given) > MOST_NUMBERS:
            raise Refusal("RE:0006", "A number is none, or there are too many.")
        try:
            params = json.loads(asked.get("TemplateParam") or "{}")
            values = [params[name] for name in form.variables]
        except (ValueError, KeyError, TypeError):
            raise Refusal("RE:0009", "TemplateParam lacks a variable.") from None
        if not all(isinstance(value, str) for value in values) or form.is_too_long(values) or has_link(values):
            raise Refusal("RE:0009", "A variable is too long, or holds a link.")
        return numbers, f"【{asked['Sign']}】{form.fill(values)}"

    def _report(self, number: str, identity: str, code: str, tag: str, at: datetime) -> dict[str, Any]:
        is_delivered, moment = code == "DELIVERED", int(at.timestamp() * 1_000)
        return {
            "account": "2000000000",
            "sub_account": self.account.group,
            "status_code": "0" if is_delivered else code,
            "description": "success" if is_delivered else "用户未接收",
            "mobile": show_number(number),
            "channel_type": "CN_NTC",
            "message_id": identity,
            "msg_count": 1,
            "ext": tag,
            "send_time": moment,
            "recv_time": moment,
        }


def sign(call: Call, names: str, secret: str, region: str, path: str) -> str:
    """Compute the signature of a call over the headers that it says are signed."""
    query = "&".join(f"{escape(name)}={escape(value)}" for name, value in sorted(call.query))
    lines = "".join(f"{name}:{call.headers.get(name, '').strip()}\n" for name in names.split(";"))
    digest = hashlib.sha256(call.body).hexdigest()
    canonical = f"{call.method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
    stamp = call.headers["x-date"]
    scope = f"{stamp[:8]}/{region}/volcSMS/request"
    said = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = hmac.new(secret.encode(), stamp[:8].encode(), hashlib.sha256).digest()
    key = hmac.new(key, region.encode(), hashlib.sha256).digest()
    key = hmac.new(key, b"volcSMS", hashlib.sha256).digest()
    key = hmac.new(key, b"request", hashlib.sha256).digest()
    return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()
