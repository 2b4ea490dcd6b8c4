"""Encodes a new Job field by field from a draft, at a quarter of the cost of building the model first.

docs/performance.md has the figures. A test compares the result with `wire.Job`'s own encoding, for any draft.
"""

from collections.abc import Sequence
from datetime import datetime

from pydantic_core import to_json

from imsg_contract.api_keys import CachedKey
from imsg_contract.topology import Lane
from imsg_contract.wire import Category, ChargeRecord, Reference
from imsg_gateway.credentials import Owner
from imsg_gateway.draft import Draft, LegDraft
from imsg_limits.quota import Kind
from imsg_limits.windows import Hold


def kind_of(draft: Draft) -> Kind | None:
    """Return the kind that a draft is counted as in the limit of bursts; None for a list.

    A code that is sent again is a single message: its user has left the form by then.
    """
    if len(draft.recipients) != 1:
        return None
    return "code" if draft.category is Category.CODE and draft.resend_of is None else "single"


def lane_of(kind: Kind | None, *, is_crowded: bool = False, is_test: bool = False) -> Lane:
    """Return the lane of a draft: bursts take the next lower lane, tests their own."""
    if is_test:
        return Lane.TEST
    if kind == "code":
        return Lane.NORMAL if is_crowded else Lane.PRIORITY
    return Lane.NORMAL if kind == "single" and not is_crowded else Lane.BULK


def encode(
    draft: Draft,
    request: str,
    owner: Owner,
    *,
    key: CachedKey | None,
    lane: Lane,
    content_at: Reference | None,
    accepted_at: datetime,
    expires_at: datetime,
    hold: Hold | None = None,
) -> bytes:
    """Encode the whole Job of a request.

    `key` is the API key that sends it; `content_at` refers to its content, where history stores that.
    """
    return to_json(
        {
            "v": 1,
            "request": request,
            "chunk": None,
            "username": owner.username,
            "user_id": owner.user_id,
            "method": draft.method.name,
            "account": draft.account,
            "lane": lane,
            "content": draft.content if content_at is None else None,
            "content_at": content_at,
            "attachments": [
                {"sha256": file.sha256, "size": len(file.data), "filename": file.filename, "type": file.type}
                for file in draft.files
            ],
            "recipients": draft.recipients,
            "accepted_at": accepted_at,
            **({} if draft.due_at is None else {"due_at": draft.due_at}),
            **({} if hold is None else {"held_until": hold.until, "held_by": hold.by}),
            "expires_at": expires_at,
            "extended_s": 0,
            "attempt": 1,
            "fencing_token": 0,
            "status_query": 0,
            "segments": draft.segments,
            "resend_of": draft.resend_of,
            "reference": draft.reference,
            "category": draft.category,
            "trace": None,
            **({} if draft.provider is None else {"provider": draft.provider}),
            **({} if key is None else {"key": key.name}),
        }
    )


_BEGINNING = b'{"v":1,'


def stamp(body: bytes, events: int, charge: ChargeRecord, department: str = "") -> bytes:
    """Add to an encoded Job what is known after it was charged: the charge, department and wanted events."""
    stamped = {
        **({"events": events} if events else {}),
        "charge": charge.model_dump(),
        **({"department": department} if department else {}),
    }
    return b"%b%b,%b" % (_BEGINNING, to_json(stamped)[1:-1], body[len(_BEGINNING) :])


def add_legs(body: bytes, request: str, draft: Draft, legs: Sequence[tuple[LegDraft, bytes]]) -> bytes:
    """Mark an encoded Job as the first of several legs, and add the further legs with their Jobs."""
    further = [
        b'{"after_s":%d,"lifetime_s":%b,"job":%b}'
        % (leg.after_s, to_json(_find_lifetime_s(leg.draft)), add_leg(job, number, request, leg.draft))
        for number, (leg, job) in enumerate(legs, 2)
    ]
    first = add_leg(body, 1, request, draft)
    return b'%b"fallback":[%b],%b' % (_BEGINNING, b",".join(further), first[len(_BEGINNING) :])


def add_leg(body: bytes, number: int, request: str, draft: Draft) -> bytes:
    """Add to an encoded Job its number among the legs of a request."""
    fields = to_json({"leg": number, "leg_of": request, "until": draft.until})
    return b"%b%b,%b" % (_BEGINNING, fields[1:-1], body[len(_BEGINNING) :])


def _find_lifetime_s(draft: Draft) -> int | None:
    """Return the lifetime of a leg by itself; None where the client set one lifetime for all legs."""
    return None if draft.lifetime is not None else int(draft.method.lifetime.total_seconds())
