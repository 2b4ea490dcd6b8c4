"""Volcengine's SMS service, version 2020-01-01: SendSms, and the receipts that it pushes."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from imsg_contract.wire import Again, Blocked, Inbound, Refused, Sent, Unknown
from imsg_sms.providers import Answer, Report, numbers
from imsg_sms.providers.context import ProviderContext
from imsg_sms.providers.inbound import InboundFields, inbound
from imsg_sms.providers.meanings import Codes, Meaning, moment_of, unreadable
from imsg_sms.providers.template_provider import (
    Hook,
    ReceiptFields,
    TemplateProvider,
    build_templates,
    read_object,
    report,
)
from imsg_sms.providers.volcengine_signature import Request, encode, headers
from imsg_sms.settings import Volcengine
from imsg_sms.templates import ProviderTemplate, TemplateBook
from imsg_web.http_pool import HttpPool

KIND = "volcengine"
VERSION = "2020-01-01"
SERVICE = "volcSMS"
MOST = 200
LIMITED_S = 30.0
"""How long the account is given nothing once it had too much; how long its limit holds is not said."""

CODES: Mapping[str, Meaning] = {
    "RE:0000": Meaning(Blocked, "account"),
    "RE:0001": Meaning(Blocked, "account"),
    "RE:0002": Meaning(Blocked, "account"),
    "RE:0003": Meaning(Blocked, "account"),
    "RE:0004": Meaning(Blocked, "signature"),
    "RE:0005": Meaning(Blocked, "template"),
    "RE:0006": Meaning(Refused, "recipient", of_one=True),
    "RE:0007": Meaning(Blocked, "account"),
    "RE:0009": Meaning(Refused, "content"),
    "RE:0010": Meaning(Blocked, "account"),
    "RE:0011": Meaning(Refused, "recipient", of_one=True),
    "RE:0012": Meaning(Blocked, "template"),
    "RE:0013": Meaning(Again, "account", LIMITED_S, is_rate=True),
    "RE:0500": Meaning(Again, "provider"),
}
"""volcengine.com/docs/6361/173288, read November 2026."""

CLASSES: Mapping[str, Meaning] = {
    "RE:05": Meaning(Again, "provider"),
    "RE:": Meaning(Blocked, "account"),
    "InvalidParameter": Meaning(Refused, "content"),
    "MissingParameter": Meaning(Refused, "content"),
    "InternalError": Meaning(Unknown, "provider"),
    "ServiceUnavailable": Meaning(Again, "provider"),
    "FlowLimitExceeded": Meaning(Again, "provider", is_rate=True),
    "SignatureDoesNotMatch": Meaning(Blocked, "account"),
    "Invalid": Meaning(Blocked, "account"),
    "AccessDenied": Meaning(Blocked, "account"),
    "": Meaning(Again, "content"),
}
"""Beside the service's own RE: codes, those of Volcengine's gateway (volcengine.com/docs/6369/68677; unverified)."""

TABLE = Codes(CODES, CLASSES)


def make(name: str, account: Volcengine, context: ProviderContext) -> "VolcengineProvider":
    """Make an account's provider."""
    return VolcengineProvider(name, account, context.pool, build_templates(name, account, context.templates))


class VolcengineProvider(TemplateProvider):
    """The provider. A call that is not answered stays unknown."""

    kind = KIND
    table = TABLE
    hook = Hook("code", "msg")
    """Which answer it wants is unverified: HTTP 200 counts."""
    most = MOST

    def __init__(
        self, name: str, settings: Volcengine, pool: HttpPool, book: TemplateBook, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__(name, settings, pool, book, now)
        self._settings = settings

    async def _call_api(
        self, used: ProviderTemplate, numbers_: Sequence[str], reference: str
    ) -> tuple[int, Mapping[str, Any]]:
        """SendSms: one content for up to 200 numbers, accepted or refused whole; `Tag` comes back as `ext`."""
        asked = {
            "SmsAccount": self._settings.sms_account,
            "Sign": used.signature,
            "TemplateID": used.id,
            "TemplateParam": json.dumps(dict(used.params), ensure_ascii=False, separators=(",", ":")),
            "PhoneNumbers": ",".join(map(numbers.format_number, numbers_)),
            "Tag": reference,
        }
        query = {"Action": "SendSms", "Version": VERSION}
        answer = await self._post_json(asked, partial(self._sign, query), f"?{encode(query)}")
        return answer.status_code, read_object(answer)

    def _sign(self, query: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        signed = headers(
            Request(self._at.host, query, body, self._at.path),
            self._settings.access_key_id,
            self._settings.access_key_secret.get_secret_value(),
            now=self._moment(),
            region=self._settings.region,
            service=SERVICE,
        )
        return {**signed, "accept": "application/json"}

    def _judge_answer(
        self, status: int, said: Mapping[str, Any], numbers_: Sequence[str], used: ProviderTemplate
    ) -> Answer:
        metadata = said.get("ResponseMetadata")
        error = metadata.get("Error") if isinstance(metadata, dict) else None
        if isinstance(error, dict):
            code, detail = str(error.get("Code") or "no_code"), str(error.get("Message") or "")
            return self._judge_code(code, detail, error, used)
        result = said.get("Result")
        found = result.get("MessageID") if isinstance(result, dict) else None
        identities = [str(one) for one in found] if isinstance(found, list) else []
        if not identities:
            return unreadable(self.name, status)
        # One id for the call, or one for each number: the documents show a list and say no more.
        each = {}
        if len(identities) == len(numbers_):
            each = {number: Answer(Sent(self.name, one)) for number, one in zip(numbers_, identities, strict=True)}
        return Answer(Sent(self.name, identities[0]), each=each)

    def _read_entry(self, entry: Mapping[str, Any], now: datetime) -> Report | Inbound | None:
        read = read_receipt if "status_code" in entry else read_inbound
        return read(self.name, entry, now)


def read_receipt(name: str, entry: Mapping[str, Any], now: datetime) -> Report | None:
    """Read a receipt of a push (volcengine.com/docs/6361/171584); None where it matches nothing."""
    identity, status = entry.get("message_id"), entry.get("status_code")
    if not isinstance(identity, str) or not isinstance(status, str | int):
        return None
    address, at = numbers.read(str(entry.get("mobile") or "")), _moment_of(entry.get("recv_time")) or now
    is_delivered = str(status) == "0"
    code = None if is_delivered else str(status)
    return report(
        name, ReceiptFields(identity, address, is_delivered, code, entry.get("description"), at, entry.get("ext"))
    )


def read_inbound(name: str, entry: Mapping[str, Any], now: datetime) -> Inbound | None:
    """Read what somebody wrote out of a push; its fields are unverified (volcengine.com/docs/6361/171585)."""
    address, at = numbers.read(str(entry.get("mobile") or "")), _moment_of(entry.get("recv_time")) or now
    identity, to, signature = entry.get("message_id"), entry.get("ext_code"), entry.get("sign")
    return inbound(name, InboundFields(address, entry.get("content"), at, identity, to, signature))


def _moment_of(ms: object) -> datetime | None:
    return moment_of(ms / 1_000) if isinstance(ms, int) and ms else None
