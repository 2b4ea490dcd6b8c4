"""Volcengine's SMS service, version 2020-01-01: SendSms, and the receipts that it pushes."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from imsg_contract.wire import Again, Blocked, Receipt, Refused, Sent, Status, TemplateLimits, Unknown
from imsg_sms.providers import Answer, Push, Reply, Report, Reports, numbers
from imsg_sms.providers.clients import Clients, NoAnswer, NotSent
from imsg_sms.providers.entries import read_entries
from imsg_sms.providers.meanings import Codes, Meaning, failed, moment_of, plain, unreadable
from imsg_sms.providers.volcengine_signature import Request, encode, headers
from imsg_sms.receipts import Receipts
from imsg_sms.settings import Sms, Volcengine
from imsg_sms.templates import Account, Book, Message, describe, mark

NAME = "volcengine"
VERSION = "2020-01-01"
SERVICE = "volcSMS"
MOST = 200

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
    "RE:0013": Meaning(Again, "account"),
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
    "FlowLimitExceeded": Meaning(Again, "provider"),
    "SignatureDoesNotMatch": Meaning(Blocked, "account"),
    "Invalid": Meaning(Blocked, "account"),
    "AccessDenied": Meaning(Blocked, "account"),
    "": Meaning(Again, "content"),
}
"""Beside the service's own RE: codes, those of Volcengine's gateway (volcengine.com/docs/6369/68677; unverified)."""

TABLE = Codes(NAME, CODES, CLASSES)


def make(sms: Sms, clients: Clients, receipts: Receipts, public_url: str = "") -> "VolcengineProvider | None":
    """Make the provider; None where nothing of it is set."""
    del receipts, public_url
    return VolcengineProvider(sms.volcengine, clients, book(sms.volcengine, sms)) if sms.volcengine else None


def book(settings: Volcengine, sms: Sms) -> Book:
    """Say what the account's templates take."""
    signature = mark(settings.sign_name)
    default = TemplateLimits(default=True, signature=signature, variables={settings.variable: None})
    own = {settings.template: default} if settings.template else {}
    return describe(Account(NAME, settings.sign_name, settings.variable_characters), sms.templates, own)


class VolcengineProvider:
    """The provider. A call that is not answered stays unknown."""

    name = NAME
    most = MOST
    is_mixing = False
    takes_text = False
    kept = Reply(json.dumps({"code": 0, "msg": "OK"}))
    """Which answer it wants is unverified: HTTP 200 counts."""
    garbled = Reply(json.dumps({"code": 1, "msg": "not a JSON array of reports"}), 400)
    lost = Reply(json.dumps({"code": 1, "msg": "not kept, please repeat"}), 503)

    def __init__(
        self, settings: Volcengine, clients: Clients, book: Book, now: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._book = book
        self._now = now
        parts = urlsplit(settings.endpoint)
        self._host = parts.netloc.rpartition("@")[2]
        self._path = parts.path or "/"
        self._url = f"{parts.scheme}://{self._host}{self._path}"
        self.limits = book.limits
        self.secret = settings.hook

    async def send(self, message: Message, numbers_: Sequence[str], reference: str) -> Answer:
        """SendSms: one content for up to 200 numbers, accepted or refused whole; `Tag` comes back as `ext`."""
        used = self._book.find(message)
        asked = {
            "SmsAccount": self._settings.sms_account,
            "Sign": used.signature,
            "TemplateID": used.id,
            "TemplateParam": json.dumps(dict(used.params), ensure_ascii=False, separators=(",", ":")),
            "PhoneNumbers": ",".join(map(numbers.format_number, numbers_)),
            "Tag": reference,
        }
        try:
            status, said = await self._call(asked)
        except (NotSent, NoAnswer) as error:
            return failed(NAME, error)
        return self._meant(status, said, numbers_, {"template": used.id, "signature": used.signature})

    def read(self, push: Push) -> Reports | None:
        """Read a push (volcengine.com/docs/6361/171584); it is not signed."""
        entries = read_entries(push.body)
        if entries is None:
            return None
        now = datetime.fromtimestamp(self._now(), UTC)
        read = [report for entry in entries if (report := read_receipt(entry, now)) is not None]
        return Reports(read, len(entries) - len(read))

    async def _call(self, asked: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        query = {"Action": "SendSms", "Version": VERSION}
        body = json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode()
        signed = headers(
            Request(self._host, query, body, self._path),
            self._settings.access_key_id,
            self._settings.access_key_secret.get_secret_value(),
            now=datetime.fromtimestamp(self._now(), UTC),
            region=self._settings.region,
            service=SERVICE,
        )
        url = f"{self._url}?{encode(query)}"
        answer = await self._clients.call("POST", url, {**signed, "accept": "application/json"}, body)
        try:
            said = answer.json()
        except ValueError:
            said = {}
        return answer.status_code, said if isinstance(said, dict) else {}

    def _meant(self, status: int, said: Mapping[str, Any], numbers_: Sequence[str], used: Mapping[str, str]) -> Answer:
        metadata = said.get("ResponseMetadata")
        error = metadata.get("Error") if isinstance(metadata, dict) else None
        if isinstance(error, dict):
            code, detail = str(error.get("Code") or "no_code"), str(error.get("Message") or "")
            about = used.get(CODES[code].concerns, "") if code in CODES else ""
            return TABLE.judge(code, detail, now=self._now(), about=about, raw=json.dumps(error, ensure_ascii=False))
        result = said.get("Result")
        found = result.get("MessageID") if isinstance(result, dict) else None
        identities = [str(one) for one in found] if isinstance(found, list) else []
        if not identities:
            return unreadable(NAME, status)
        # One id for the call, or one for each number: the documents show a list and say no more.
        each = {}
        if len(identities) == len(numbers_):
            each = {number: Answer(Sent(NAME, one)) for number, one in zip(numbers_, identities, strict=True)}
        return Answer(Sent(NAME, identities[0]), each=each)


def read_receipt(entry: object, now: datetime) -> Report | None:
    """Read one entry of a push; None where it matches nothing."""
    if not isinstance(entry, Mapping):
        return None
    identity, status = entry.get("message_id"), entry.get("status_code")
    address = numbers.read(str(entry.get("mobile") or ""))
    if not isinstance(identity, str) or not identity or address is None or not isinstance(status, str | int):
        return None
    received = entry.get("recv_time")
    seconds = received / 1_000 if isinstance(received, int) and received else None
    is_delivered, detail = str(status) == "0", entry.get("description")
    receipt = Receipt(
        provider=NAME,
        provider_id=plain(identity),
        address=address,
        status=Status.DELIVERED if is_delivered else Status.FAILED,
        code=None if is_delivered else plain(status),
        detail=plain(detail) if detail else None,
        at=moment_of(seconds) or now.astimezone(UTC),
    )
    return Report(receipt, str(entry.get("ext") or ""))
