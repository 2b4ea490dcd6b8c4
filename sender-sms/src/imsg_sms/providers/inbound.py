"""Makes inbound messages from the fields of a provider."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from imsg_contract.wire import Inbound
from imsg_sms.providers.meanings import clean_text
from imsg_sms.templates import SCOPE

MAX_TEXT_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class InboundFields:
    """The unchecked fields of an inbound message."""

    address: str | None
    text: object
    at: datetime
    identity: object = None
    """The provider's id; without one, a digest of the other fields is used."""
    to: object = None
    signature: object = None
    opt_out: bool = False
    opt_in: bool = False


def make_inbound(provider: str, fields: InboundFields) -> Inbound | None:
    """Make the inbound message; None if it has no sender or no text."""
    if fields.address is None or not isinstance(fields.text, str | int):
        return None
    text = clean_text(fields.text, MAX_TEXT_CHARACTERS)
    identity = repr((fields.address, str(fields.to), text, fields.at.isoformat()))
    has_id = isinstance(fields.identity, str | int) and bool(str(fields.identity))
    return Inbound(
        method=SCOPE,
        provider=provider,
        id=clean_text(fields.identity)
        if has_id
        else hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:32],
        address=fields.address,
        to=clean_text(fields.to) if isinstance(fields.to, str | int) and str(fields.to) else None,
        signature=clean_text(fields.signature).strip("【】") or None if isinstance(fields.signature, str) else None,
        text=text,
        opt_out=fields.opt_out,
        opt_in=fields.opt_in,
        at=fields.at.astimezone(UTC),
    )
