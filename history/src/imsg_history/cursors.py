"""Cursors: where a page of a listing ended, as an opaque word that no insert can shift."""

import base64
import binascii
from datetime import datetime

from imsg_contract.errors import Refusal
from imsg_history.ids import EPOCH
from imsg_history.tables import MICROSECOND

DEFAULT_LIMIT = 50
MOST = 500

Place = tuple[str, int]
"""(request, n): the last message of a page."""


def write_place(place: Place) -> str:
    """Make the cursor of a place among messages."""
    return _word(bytes.fromhex(place[0]) + place[1].to_bytes(4, "big"))


def read_place(cursor: str) -> Place:
    """Read the cursor of a place among messages. Raises Refusal."""
    place = _bytes(cursor, 20)
    return place[:16].hex(), int.from_bytes(place[16:], "big") & 0x7FFF_FFFF


def write_moment(at: datetime, name: str) -> str:
    """Make the cursor of a place in time: among dead letters."""
    return _word(((at - EPOCH) // MICROSECOND).to_bytes(8, "big") + bytes.fromhex(name))


def read_moment(cursor: str) -> tuple[datetime, str]:
    """Read the cursor of a place in time. Raises Refusal."""
    place = _bytes(cursor, 24)
    try:
        return EPOCH + int.from_bytes(place[:8], "big") * MICROSECOND, place[8:].hex()
    except OverflowError as error:
        raise _refusal() from error


def read_limit(text: str | None) -> int:
    """Read how many entries a page may have. Raises Refusal."""
    if text is None:
        return DEFAULT_LIMIT
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MOST)) else 0
    if not 1 <= limit <= MOST:
        raise Refusal(
            "wrong_type",
            field="limit",
            why_zh=f"应为 1 到 {MOST} 的整数",
            why_en=f"it must be a whole number from 1 to {MOST}",
        )
    return limit


def _word(place: bytes) -> str:
    return base64.urlsafe_b64encode(place).rstrip(b"=").decode()


def _bytes(cursor: str, size: int) -> bytes:
    try:
        place = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refusal() from error
    if len(place) != size:
        raise _refusal()
    return place


def _refusal() -> Refusal:
    return Refusal(
        "wrong_type",
        field="cursor",
        why_zh="应原样填写上一页返回的 next，第一页不填",
        why_en="it must be the `next` of the page before, unchanged; leave it out for the first page",
    )
