"""Inbound messages, made of what a provider says of them."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from imsg_contract.wire import Inbound
from imsg_sms.providers.meanings import plain
from imsg_sms.templates import SCOPE

MOST_TEXT = 2_000


@dataclass(frozen=True, slots=True)
class InboundFields:
    """The fields of an inbound message as a provider wrote them, not checked yet."""

    address: str | None
    text: object
    at: datetime
    identity: object = None
    """The provider's own id; without one, a digest of all the rest stands for it."""
    to: object = None
    signature: object = None
    opt_out: bool = False
    opt_in: bool = False


def inbound(provider: str, written: InboundFields) -> Inbound | None:
    """Make the inbound message; None where it has no sender or no text."""
    if written.address is None or not isinstance(written.text, str | int):
        return None
    text = plain(written.text, MOST_TEXT)
    said = repr((written.address, str(written.to), text, written.at.isoformat()))
    has_id = isinstance(written.identity, str | int) and bool(str(written.identity))
    return Inbound(
        method=SCOPE,
        provider=provider,
        id=plain(written.identity) if has_id else hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32],
        address=written.address,
        to=plain(written.to) if isinstance(written.to, str | int) and str(written.to) else None,
        signature=plain(written.signature).strip("【】") or None if isinstance(written.signature, str) else None,
        text=text,
        opt_out=written.opt_out,
        opt_in=written.opt_in,
        at=written.at.astimezone(UTC),
    )
