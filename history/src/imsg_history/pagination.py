"""Pages of a listing, and the cursors that continue them: opaque texts, which no insert can shift."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from imsg_contract.errors import Refusal
from imsg_history.ids import EPOCH
from imsg_history.tables import MICROSECOND

DEFAULT_LIMIT = 50
MAX_LIMIT = 500

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, as the public API shows its rows."""

    rows: list[dict[str, Any]]
    next: str | None
    """The cursor of the next page; None on the last one."""
    total: int | None = None
    """The rows of all pages, `MAX_TOTAL` + 1 at most; None: not asked for, or not counted."""


@dataclass(frozen=True, slots=True)
class MessagePosition:
    """A position among messages, which are listed newest request first, then by `n` upwards."""

    request: str
    n: int


@dataclass(frozen=True, slots=True)
class TimePosition:
    """A position among rows that are listed by their time and id, newest first."""

    at: datetime
    id: str


def make_page(
    rows: Sequence[R],
    limit: int,
    show: Callable[[R], dict[str, Any]],
    find_position: Callable[[R], TimePosition],
    total: int | None = None,
) -> Page:
    """Make a page of the rows of a query with the limit `limit + 1`."""
    shown = rows[:limit]
    cursor = write_time_cursor(find_position(shown[-1])) if len(rows) > limit else None
    return Page([show(row) for row in shown], cursor, total)


def write_message_cursor(position: MessagePosition) -> str:
    """Write the cursor of a position among messages."""
    return _encode(bytes.fromhex(position.request) + position.n.to_bytes(4, "big"))


def read_message_cursor(cursor: str) -> MessagePosition | None:
    """Read a cursor among messages; empty text is None. Raises Refusal."""
    if not cursor:
        return None
    packed = _decode(cursor, 20)
    return MessagePosition(packed[:16].hex(), int.from_bytes(packed[16:], "big") & 0x7FFF_FFFF)


def write_time_cursor(position: TimePosition) -> str:
    """Write the cursor of a position among rows that are listed by their time."""
    return _encode(((position.at - EPOCH) // MICROSECOND).to_bytes(8, "big") + bytes.fromhex(position.id))


def read_time_cursor(cursor: str) -> TimePosition | None:
    """Read a cursor among rows that are listed by their time; empty text is None. Raises Refusal."""
    if not cursor:
        return None
    packed = _decode(cursor, 24)
    try:
        return TimePosition(EPOCH + int.from_bytes(packed[:8], "big") * MICROSECOND, packed[8:].hex())
    except OverflowError as error:
        raise _refusal() from error


def read_limit(text: str) -> int:
    """Read how many rows a page may have. Raises Refusal."""
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT)) else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise Refusal(
            "wrong_type",
            field="limit",
            why_zh=f"应为 1 到 {MAX_LIMIT} 的整数",
            why_en=f"it must be a whole number from 1 to {MAX_LIMIT}",
        )
    return limit


def _encode(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def _decode(cursor: str, size: int) -> bytes:
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refusal() from error
    if len(packed) != size:
        raise _refusal()
    return packed


def _refusal() -> Refusal:
    return Refusal(
        "wrong_type",
        field="cursor",
        why_zh="应原样填写上一页返回的 next，第一页不填",
        why_en="it must be the `next` of the page before, unchanged; leave it out for the first page",
    )
