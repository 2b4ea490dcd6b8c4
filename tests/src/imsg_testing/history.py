"""Builders of the deliveries to history: jobs, outcomes, receipts, dead letters."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from imsg_broker.port import Delivery
from imsg_contract.topology import Lane, job_key
from imsg_contract.wire import Change, Inbound, Job, Outcome, Outcomes, Receipt, Recipient, Status
from imsg_testing.callers import EPOCH, id_of

QUEUE = "imsg.history"

NOW = datetime(2026, 11, 25, 8, 0, 0, tzinfo=UTC)
"""The time of tests with a fixed clock. Databases of `migrated_url` have the partitions of these months."""


def request_id(at: datetime | None = None, tail: int | None = None) -> str:
    """Return a UUIDv7 of a time with `tail` as its random part."""
    ms = ((at or datetime.now(UTC)) - EPOCH) // timedelta(milliseconds=1)
    random = secrets.randbits(62) if tail is None else tail
    return f"{ms:012x}7000{0x8000_0000_0000_0000 | random:016x}"


def job(**given: Any) -> Job:  # noqa: ANN401  any field of a Job
    """Return a job, by default of one recipient; `to` are recipients as written, `addresses` their normal forms."""
    at = given.pop("at", None) or datetime.now(UTC)
    to: Sequence[str] = given.pop("to", ("zhang@example.com",))
    addresses: Sequence[str] = given.pop("addresses", to)
    recipients = tuple(
        Recipient(n=n, to=text, address=address) for n, (text, address) in enumerate(zip(to, addresses, strict=True))
    )
    fields: dict[str, Any] = {
        "request": request_id(at),
        "username": "天存-system-1001",
        "method": "smtp",
        "lane": Lane.NORMAL if len(recipients) == 1 else Lane.BULK,
        "content": {"subject": "开会通知", "text": "下午两点半"},
        "recipients": recipients,
        "accepted_at": at,
        "expires_at": at + timedelta(hours=24),
    }
    fields |= given
    return Job(**{"user_id": id_of(fields["username"]), **fields})


def outcome(of: Job, status: Status, n: int = 0, **given: Any) -> Outcome:  # noqa: ANN401  any field of an Outcome
    """Make an outcome of a job's message, a second an attempt after it was accepted."""
    attempt = given.pop("attempt", 1)
    fields = {"request": of.request, "n": n, "attempt": attempt, "status": status, "provider": "mail.example.com"}
    return Outcome(**{**fields, "at": of.accepted_at + timedelta(seconds=attempt), **given})


def receipt(of: Outcome, address: str, status: Status = Status.DELIVERED, **given: Any) -> Receipt:  # noqa: ANN401
    """Make the receipt of a sent message, a minute later."""
    fields = {"provider": of.provider, "provider_id": of.provider_id, "address": address, "status": status}
    return Receipt(**{**fields, "at": of.at + timedelta(minutes=1), **given})


def make_delivery(message: BaseModel | bytes, key: str | None = None, **headers: str) -> Delivery:
    """Return the delivery of a message to history; its key follows from its type, unless one is given."""
    body = message if isinstance(message, bytes) else message.model_dump_json().encode()
    if isinstance(message, Outcome):
        body = Outcomes(outcomes=(message,)).model_dump_json().encode()
    return Delivery(body, key or _key(message), QUEUE, {**headers}, redelivered=False, handle=None)


def _key(message: BaseModel | bytes) -> str:
    match message:
        case Job():
            return job_key(message.method, message.lane)
        case Outcome() | Outcomes():
            return "outcome"
        case Receipt():
            return "receipt"
        case Inbound():
            return "inbound"
        case Change():
            return "change"
    raise TypeError(f"{message!r} needs a key")
