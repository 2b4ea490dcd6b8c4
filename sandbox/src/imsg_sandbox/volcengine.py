"""Volcengine's SMS service as senders use it: signed calls, receipts pushed, and lists."""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from imsg_contract.constant_time import equals
from imsg_sandbox.approved_templates import UNFILED, ApprovedTemplate, has_link, read_number, show_number
from imsg_sandbox.http_faults import BrokenResponse
from imsg_sandbox.signatures import Call, escape, sign_scoped
from imsg_sandbox.sms_callbacks import Callback, json_callback
from imsg_sandbox.sms_provider import Refusal, Sms, SmsContext, SmsProvider, read_object
from imsg_web.responses import ApiResponse

ALGORITHM = "HMAC-SHA256"
WINDOW_S = 900
MAX_NUMBERS = 200

CODES: Mapping[str, str] = {
    "isv.MOBILE_NUMBER_ILLEGAL": "RE:0006",
    "isv.BUSINESS_LIMIT_CONTROL": "RE:0013",
}

VERSIONS: Mapping[str, str] = {
    "SendSms": "2020-01-01",
    "GetSignatureAndOrderList": "2021-01-11",
    "GetSmsTemplateAndOrderList": "2021-01-11",
}

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=([^/]+)/([0-9]+)/([^/]+)/volcSMS/request, *SignedHeaders=([^,]+), *Signature=([0-9a-f]+)"
)


@dataclass(frozen=True, slots=True)
class Account:
    """The account that is played."""

    secrets: Mapping[str, str]
    """Access key id → secret."""
    group: str
    """SmsAccount."""
    signatures: frozenset[str]
    approved: Mapping[str, ApprovedTemplate]
    hook: str | None


class VolcengineSms(SmsProvider):
    """The service."""

    codes = CODES

    def __init__(self, name: str, account: Account, context: SmsContext) -> None:
        super().__init__(name, context)
        self.account = account

    async def answer(self, call: Call) -> Response:
        """Answer a call."""
        action = call.parameters.get("Action", "")
        metadata = {"RequestId": secrets.token_hex(16), "Action": action, "Version": VERSIONS.get(action, "")}
        try:
            self._authenticate(call)
            if action != "SendSms":
                return ApiResponse({"ResponseMetadata": metadata, "Result": self._list(action, call.parameters)})
            identity, cut = await self._send(read_object(call.body, "RE:0009"), call.body)
        except Refusal as refusal:
            error = {"Code": refusal.code, "Message": refusal.message}
            return ApiResponse({"ResponseMetadata": {**metadata, "Error": error}}, refusal.status)
        if cut:
            return BrokenResponse()
        return ApiResponse({"ResponseMetadata": metadata, "Result": {"MessageID": [identity]}})

    def _authenticate(self, call: Call) -> None:
        """Check the signature of a call. Raises Refusal."""
        match = _AUTHORIZATION.fullmatch(call.headers.get("authorization", "").strip())
        if match is None:
            raise Refusal("InvalidAuthorization", "The Authorization header is not as it has to be.", 400)
        key_id, date, region, names, signature = match.groups()
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
        if VERSIONS.get(call.parameters.get("Action", "")) != call.parameters.get("Version"):
            raise Refusal("InvalidActionOrVersion", "There is no such action.", 404)

    def _list(self, action: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Return signatures (volcengine.com/docs/6361/170357) or templates of the message group. Raises Refusal."""
        if params.get("subAccount") != self.account.group:
            raise Refusal("RE:0003", "The message group does not exist.")
        rows: list[dict[str, Any]]
        if action == "GetSignatureAndOrderList":
            rows = [
                {"id": str(number), "content": sign, "status": 3, "reason": "通过", "usable": UNFILED not in sign}
                for number, sign in enumerate(sorted(self.account.signatures), 1)
            ]
        else:
            rows = [
                {"templateId": name, "content": template.text, "status": 3, "reason": "通过"}
                for name, template in sorted(self.account.approved.items())
            ]
        size, page = int(params.get("pageSize") or 1_000), int(params.get("pageIndex") or 1)
        return {"list": rows[(page - 1) * size : page * size], "total": len(rows)}

    async def _send(self, body: Mapping[str, Any], raw: bytes) -> tuple[str, bool]:
        numbers, text = self._check(body)
        for number in numbers:
            if (code := self.magic.refuse(number)) is not None:
                raise Refusal(code, f"{show_number(number)} is refused, and the call with it.")
        identity, now, tag = str(secrets.token_hex(16)), self.now(), str(body.get("Tag") or "")
        accepted = await self.accept([Sms(number, str(body["Sign"]), text, raw) for number in numbers])
        early, late = (
            [self._report(number, identity, code, tag, now) for number, code in receipts]
            for receipts in (accepted.early, accepted.late)
        )
        await self.push(json_callback(self.account.hook, early), json_callback(self.account.hook, late))
        return identity, accepted.is_cut

    def make_reply(self, number: str, text: str, sender: str) -> Callback | None:
        """Return a push of a list of one; its fields are unverified."""
        at = int(self.now().timestamp() * 1_000)
        reply = {"mobile": show_number(number), "content": text, "sign": sender, "ext_code": "", "recv_time": at}
        return json_callback(self.account.hook, [{**reply, "message_id": secrets.token_hex(8)}])

    def _check(self, body: Mapping[str, Any]) -> tuple[Sequence[str], str]:
        """Check a call; return its numbers and its text. Raises Refusal."""
        if body.get("SmsAccount") != self.account.group:
            raise Refusal("RE:0003", "The message group does not exist.")
        if body.get("Sign") not in self.account.signatures:
            raise Refusal("RE:0004", "The signature is not approved.")
        template = self.account.approved.get(str(body.get("TemplateID")))
        if template is None:
            raise Refusal("RE:0005", "The template is not approved.")
        texts = str(body.get("PhoneNumbers") or "").split(",")
        numbers = [number for text in texts if (number := read_number(text)) is not None]
        if len(numbers) < len(texts) or len(texts) > MAX_NUMBERS:
            raise Refusal("RE:0006", "A number is invalid, or there are too many.")
        try:
            params = json.loads(body.get("TemplateParam") or "{}")
            values = [params[name] for name in template.variables]
        except (ValueError, KeyError, TypeError):
            raise Refusal("RE:0009", "TemplateParam lacks a variable.") from None
        if not all(
            isinstance(value, str) and not template.is_too_long(value) and not has_link(value) for value in values
        ):
            raise Refusal("RE:0009", "A variable is too long, or holds a link.")
        return numbers, f"【{body['Sign']}】{template.fill(values)}"

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
    to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return sign_scoped(secret, (stamp[:8], region, "volcSMS", "request"), to_sign)
