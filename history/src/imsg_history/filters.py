"""What a query asks for: its filters, read and checked, with a sentence for everything that can be wrong."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from imsg_channels import METHODS, unknown_method
from imsg_contract.errors import Refusal
from imsg_contract.wire import Status
from imsg_history.cursors import Place, read_limit, read_place
from imsg_history.ids import EPOCH, LAST_MS, LATEST_MS, Name
from imsg_history.ownership import Ownership, whose
from imsg_history.records import MAX_ADDRESS, MAX_CODE, MAX_REFERENCE, RENAMED_CODES, clean
from imsg_web.callers import Caller

_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_SPACED_NUMBER = re.compile(r"\+?[0-9][0-9 -]*", re.ASCII)
_BETWEEN_DIGITS = re.compile(r"[ -]")
"""Numbers are kept without what people write between their digits."""
_UNIX = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """Which messages are asked for, and from where on."""

    name: Name | None
    whose: Ownership | None
    """Whose messages; None for everybody's, which only an administrator may ask for."""
    method: str | None
    statuses: tuple[Status, ...]
    """Any of these; none: whichever."""
    to: str | None
    since: datetime | None
    until: datetime | None
    limit: int
    after: Place | None
    reference: str | None = None
    code: str | None = None
    """Of the error, to the letter."""
    part: str | None = None
    """Of the recipient, in small letters; a phone number's digits without what stands between."""
    hides: bool = False
    """Whether contacts that the caller has not written are kept from them: all but administrators."""


def read_query(given: Mapping[str, str], caller: Caller, *, is_v2: bool = False) -> Query:
    """Read the filters of GET /api/query, or of v2's GET /api/messages, which has more. Raises Refusal."""
    cursor = given.get("cursor")
    return Query(
        read_name(given["id"]) if "id" in given else None,
        whose(given.get("username"), caller),
        read_method(given["method"]) if "method" in given else None,
        _statuses(given["status"], several=is_v2) if "status" in given else (),
        read_address(given["to"]) if "to" in given else None,
        read_time(given, "since"),
        read_time(given, "until"),
        read_limit(given.get("limit")),
        read_place(cursor) if cursor else None,
        _reference(given["reference"]) if is_v2 and "reference" in given else None,
        _code(given["code"]) if is_v2 and "code" in given else None,
        _part(given["part"]) if is_v2 and "part" in given else None,
        hides=not caller.is_admin,
    )


def read_time(given: Mapping[str, str], field: str) -> datetime | None:
    """Read a time, RFC 3339 or Unix seconds. Raises Refusal."""
    if field not in given:
        return None
    try:
        return _unix(given[field]) if _UNIX.fullmatch(given[field]) else _rfc3339(given[field])
    except (ValueError, OverflowError) as error:
        raise Refusal(
            "wrong_type",
            field=field,
            why_zh="应为 RFC 3339 时间（如 2026-11-25T08:00:00+08:00）或以秒为单位的 Unix 时间",
            why_en="it must be an RFC 3339 time such as 2026-11-25T08:00:00+08:00, or Unix seconds",
        ) from error


def read_name(text: str) -> Name:
    """Read the id of a request or a message. Raises Refusal."""
    name = Name.read(text)
    if name is None:
        raise Refusal(
            "wrong_type",
            field="id",
            why_zh="应为发送时返回的 id（32 位十六进制），或再加-和序号",
            why_en="it must be the id that sending answered (32 hexadecimal digits), or that with - and a number",
        )
    return name


def read_method(text: str) -> str:
    """Read the name of a channel. Raises Refusal."""
    if text not in METHODS:
        raise unknown_method()
    return text


def _statuses(text: str, *, several: bool) -> tuple[Status, ...]:
    """Read one status; of v2 also several, with commas between them."""
    return tuple(dict.fromkeys(_status(one, several=several) for one in (text.split(",") if several else [text])))


def _code(text: str) -> str:
    if not 1 <= len(text) <= MAX_CODE:
        zh, en = f"应为错误里的 code，1 到 {MAX_CODE} 个字符", f"it must be an error's code, 1 to {MAX_CODE} characters"
        raise Refusal("wrong_type", field="code", why_zh=zh, why_en=en)
    return RENAMED_CODES.get(text, clean(text, MAX_CODE))


def _status(text: str, *, several: bool) -> Status:
    try:
        return Status(text)
    except ValueError as error:
        known = [status.value for status in Status]
        raise Refusal(
            "wrong_type",
            field="status",
            why_zh=f"应为 {'、'.join(known)} 之一" + ("，几个之间用英文逗号、不加空格" if several else ""),
            why_en=f"it must be one of {', '.join(known)}"
            + (", or several with commas alone between" if several else ""),
        ) from error


def read_address(text: str, field: str = "to") -> str:
    """Read a person's address, as written or in its normal form. Raises Refusal."""
    if not text:
        zh, en = "应为收件人，不能为空", "it must be a recipient and can't be empty"
        raise Refusal("wrong_type", field=field, why_zh=zh, why_en=en)
    return clean(text, MAX_ADDRESS)


def _part(text: str) -> str:
    part = clean(text, MAX_ADDRESS).strip().lower()
    if not part:
        zh, en = "应为收件人的一部分，不能为空", "it must be a part of a recipient and can't be empty"
        raise Refusal("wrong_type", field="part", why_zh=zh, why_en=en)
    return _BETWEEN_DIGITS.sub("", part) if _SPACED_NUMBER.fullmatch(part) else part


def _reference(text: str) -> str:
    if not 1 <= len(text) <= MAX_REFERENCE:
        zh = f"应为发送时给出的 reference，1 到 {MAX_REFERENCE} 个字符"
        en = f"it must be the reference that a send gave, 1 to {MAX_REFERENCE} characters"
        raise Refusal("wrong_type", field="reference", why_zh=zh, why_en=en)
    return clean(text, MAX_REFERENCE)


def _unix(text: str) -> datetime:
    whole, _, fraction = text.partition(".")
    ms = int(whole) * 1_000
    if ms > min(LAST_MS, LATEST_MS):
        raise ValueError("milliseconds, or beyond all time")
    return EPOCH + timedelta(milliseconds=ms, microseconds=int(fraction[:6].ljust(6, "0")))


def _rfc3339(text: str) -> datetime:
    # A `+` that was not percent-encoded arrives as a space.
    match = _RFC3339.fullmatch(re.sub(r" (?=\d{2}:\d{2}$)", "+", text))
    if match is None:
        raise ValueError("no RFC 3339 time")
    day, minute, second, fraction, zulu, sign, hours, minutes = match.groups()
    is_leap = second == "60"  # RFC 3339, section 5.7; Python has none, so it is the next second's beginning
    at = datetime.fromisoformat(f"{day}T{minute}:{'59' if is_leap else second}")
    at += timedelta(seconds=is_leap, microseconds=int((fraction or "")[:6].ljust(6, "0")))
    if zulu:
        return at.replace(tzinfo=UTC)
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    return at.replace(tzinfo=timezone(offset)).astimezone(UTC)
