"""Volcengine's SMS service, version 2020-01-01: SendSms, and the receipts that it pushes."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from imsg_contract.results import Again, Blocked, Refused, Sent, Unknown
from imsg_contract.wire import Inbound
from imsg_sms.account_settings import Volcengine
from imsg_sms.providers import ProviderReply, ReceiptReport, numbers
from imsg_sms.providers.context import ProviderContext
from imsg_sms.providers.inbound import InboundFields, make_inbound
from imsg_sms.providers.meanings import CodeTable, Meaning, from_unix_time, make_unreadable_reply
from imsg_sms.providers.template_provider import (
    Hook,
    ReceiptFields,
    TemplateProvider,
    build_template_book,
    make_report,
    read_object,
)
from imsg_sms.providers.volcengine_signature import Request, encode, headers
from imsg_sms.templates import ProviderTemplate, TemplateBook
from imsg_web.http_pool import HttpPool

KIND = "volcengine"
VERSION = "2020-01-01"
SERVICE = "volcSMS"
MAX_NUMBERS = 200
LIMITED_S = 30.0
"""How long an account over its rate limit gets no call; the documents name no time."""

CODES: Mapping[str, Meaning] = {
    "RE:0000": Meaning(Blocked, "account"),
    "RE:0001": Meaning(Blocked, "account"),
    "RE:0002": Meaning(Blocked, "account"),
    "RE:0003": Meaning(Blocked, "account"),
    "RE:0004": Meaning(Blocked, "signature"),
    "RE:0005": Meaning(Blocked, "template"),
    "RE:0006": Meaning(Refused, "recipient", for_one_number=True),
    "RE:0007": Meaning(Blocked, "account"),
    "RE:0009": Meaning(Refused, "content"),
    "RE:0010": Meaning(Blocked, "account"),
    "RE:0011": Meaning(Refused, "recipient", for_one_number=True),
    "RE:0012": Meaning(Blocked, "template"),
    "RE:0013": Meaning(Again, "account", LIMITED_S, is_rate_limit=True),
    "RE:0500": Meaning(Again, "provider"),
}
"""volcengine.com/docs/6361/173288, read November 2026."""

BY_PREFIX: Mapping[str, Meaning] = {
    "RE:05": Meaning(Again, "provider"),
    "RE:": Meaning(Blocked, "account"),
    "InvalidParameter": Meaning(Refused, "content"),
    "MissingParameter": Meaning(Refused, "content"),
    "InternalError": Meaning(Unknown, "provider"),
    "ServiceUnavailable": Meaning(Again, "provider"),
    "FlowLimitExceeded": Meaning(Again, "provider", is_rate_limit=True),
    "SignatureDoesNotMatch": Meaning(Blocked, "account"),
    "Invalid": Meaning(Blocked, "account"),
    "AccessDenied": Meaning(Blocked, "account"),
    "": Meaning(Again, "content"),
}
"""Prefixes of the service's RE: codes, and of those of its gateway (volcengine.com/docs/6369/68677; unverified)."""

TABLE = CodeTable(CODES, BY_PREFIX)


def make(name: str, account: Volcengine, context: ProviderContext) -> "VolcengineProvider":
    """Make the provider of an account."""
    return VolcengineProvider(name, account, context.pool, build_template_book(name, account, context.templates))


class VolcengineProvider(TemplateProvider):
    """An account at Volcengine. It can't be asked by our own id: a call without a response stays unknown."""

    kind = KIND
    table = TABLE
    hook = Hook("code", "msg")
    """The fields are unverified; HTTP 200 is what counts."""
    max_numbers = MAX_NUMBERS

    def __init__(
        self, name: str, settings: Volcengine, pool: HttpPool, book: TemplateBook, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__(name, settings, pool, book, now)
        self._settings = settings

    async def _call_api(
        self, template: ProviderTemplate, addresses: Sequence[str], reference: str
    ) -> tuple[int, Mapping[str, Any]]:
        """Call SendSms: one content for up to 200 numbers, accepted or refused whole; receipts have `Tag` as `ext`."""
        parameters = {
            "SmsAccount": self._settings.sms_account,
            "Sign": template.signature,
            "TemplateID": template.id,
            "TemplateParam": json.dumps(dict(template.params), ensure_ascii=False, separators=(",", ":")),
            "PhoneNumbers": ",".join(map(numbers.format_number, addresses)),
            "Tag": reference,
        }
        query = {"Action": "SendSms", "Version": VERSION}
        answer = await self._post_json(parameters, partial(self._sign, query), f"?{encode(query)}")
        return answer.status_code, read_object(answer)

    def _sign(self, query: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        signed = headers(
            Request(self._endpoint.host, query, body, self._endpoint.path),
            self._settings.access_key_id,
            self._settings.access_key_secret.get_secret_value(),
            now=self._moment(),
            region=self._settings.region,
            service=SERVICE,
        )
        return {**signed, "accept": "application/json"}

    def _classify_answer(
        self, status: int, body: Mapping[str, Any], addresses: Sequence[str], template: ProviderTemplate
    ) -> ProviderReply:
        metadata = body.get("ResponseMetadata")
        error = metadata.get("Error") if isinstance(metadata, dict) else None
        if isinstance(error, dict):
            code, detail = str(error.get("Code") or "no_code"), str(error.get("Message") or "")
            return self._classify_code(code, detail, error, template)
        result = body.get("Result")
        listed = result.get("MessageID") if isinstance(result, dict) else None
        identities = [str(identity) for identity in listed] if isinstance(listed, list) else []
        if not identities:
            return make_unreadable_reply(self.name, status)
        # The documents show a list of ids, and do not say whether it has one for each number.
        by_number: dict[str, ProviderReply] = {}
        if len(identities) == len(addresses):
            results = (ProviderReply(Sent(self.name, identity)) for identity in identities)
            by_number = dict(zip(addresses, results, strict=True))
        return ProviderReply(Sent(self.name, identities[0]), by_number=by_number)

    def _read_entry(self, entry: Mapping[str, Any], now: datetime) -> ReceiptReport | Inbound | None:
        read = read_receipt if "status_code" in entry else read_inbound
        return read(self.name, entry, now)


def read_receipt(name: str, entry: Mapping[str, Any], now: datetime) -> ReceiptReport | None:
    """Read a pushed receipt (volcengine.com/docs/6361/171584); None if it belongs to no message."""
    identity, status = entry.get("message_id"), entry.get("status_code")
    if not isinstance(identity, str) or not isinstance(status, str | int):
        return None
    address, at = numbers.read(str(entry.get("mobile") or "")), _from_unix_ms(entry.get("recv_time")) or now
    is_delivered = str(status) == "0"
    code = None if is_delivered else str(status)
    return make_report(
        name, ReceiptFields(identity, address, is_delivered, code, entry.get("description"), at, entry.get("ext"))
    )


def read_inbound(name: str, entry: Mapping[str, Any], now: datetime) -> Inbound | None:
    """Read a pushed inbound message; its fields are unverified (volcengine.com/docs/6361/171585)."""
    address, at = numbers.read(str(entry.get("mobile") or "")), _from_unix_ms(entry.get("recv_time")) or now
    identity, to, signature = entry.get("message_id"), entry.get("ext_code"), entry.get("sign")
    return make_inbound(name, InboundFields(address, entry.get("content"), at, identity, to, signature))


def _from_unix_ms(ms: object) -> datetime | None:
    return from_unix_time(ms / 1_000) if isinstance(ms, int) and ms else None
