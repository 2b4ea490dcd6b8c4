"""The fields of queries: each is read from its text, or refused with a sentence in both languages."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from imsg_channels import METHODS, refuse_method
from imsg_contract.wire import Status
from imsg_history.ids import EPOCH, LAST_MS, LATEST_MS, Name
from imsg_history.records import MAX_ADDRESS, MAX_CODE, MAX_NAME, MAX_REFERENCE, clean
from imsg_web.responses import refuse_value
from imsg_web.times import read_rfc3339

_PLUS_LOST = re.compile(r" (?=\d{2}:\d{2}$)", re.ASCII)
"""A `+` that was not percent-encoded arrives as a space."""
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[Ee][+-]?\d+)?", re.ASCII)
_LATEST = Decimal(min(LAST_MS, LATEST_MS)) / 1_000
_SPACED_NUMBER = re.compile(r"\+?[0-9][0-9 -]*", re.ASCII)
_BETWEEN_DIGITS = re.compile(r"[ -]")
"""What people write between a number's digits; the tables keep numbers without it."""


def read_time(text: str, field: str) -> datetime:
    """Read a time, RFC 3339 or Unix seconds. Raises Refusal."""
    try:
        return _read_unix(text) if _NUMBER.fullmatch(text) else read_rfc3339(_PLUS_LOST.sub("+", text))
    except (ValueError, ArithmeticError) as error:
        raise refuse_value(
            field,
            "应为 RFC 3339 时间（如 2026-11-25T08:00:00+08:00）或以秒为单位的 Unix 时间",
            "it must be an RFC 3339 time such as 2026-11-25T08:00:00+08:00, or Unix seconds",
        ) from error


def read_name(text: str) -> Name:
    """Read the id of a request or a message. Raises Refusal."""
    name = Name.read(text)
    if name is None:
        raise refuse_value(
            "id",
            "应为发送时返回的 id（32 位十六进制），或再加-和序号",
            "it must be the id that sending answered (32 hexadecimal digits), or that with - and a number",
        )
    return name


def read_method(text: str) -> str:
    """Read the name of a channel. Raises Refusal."""
    if text not in METHODS:
        raise refuse_method()
    return text


def read_status(text: str, statuses: Sequence[Status]) -> str:
    """Read one of these statuses. Raises Refusal."""
    if text not in statuses:
        raise refuse_value("status", f"应为 {'、'.join(statuses)} 之一", f"it must be one of {', '.join(statuses)}")
    return text


def read_statuses(text: str) -> str:
    """Read one status, or several with commas between them. Raises Refusal."""
    if any(name not in list(Status) for name in text.split(",")):
        raise refuse_value(
            "status",
            f"应为 {'、'.join(Status)} 之一，几个之间用英文逗号、不加空格",
            f"it must be one of {', '.join(Status)}, or several with commas alone between",
        )
    return text


def read_code(text: str) -> str:
    """Read an error's code. Raises Refusal."""
    if not 1 <= len(text) <= MAX_CODE:
        zh, en = f"应为错误里的 code，1 到 {MAX_CODE} 个字符", f"it must be an error's code, 1 to {MAX_CODE} characters"
        raise refuse_value("code", zh, en)
    return clean(text, MAX_CODE)


def read_key(text: str) -> str:
    """Read the name of an API key. Raises Refusal."""
    if not 1 <= len(text) <= MAX_NAME:
        raise refuse_value(
            "key", f"应为密钥的名称，1 到 {MAX_NAME} 个字符", f"it must be a key's name, 1 to {MAX_NAME} characters"
        )
    return clean(text, MAX_NAME)


def read_address(text: str, field: str) -> str:
    """Read a person's address, as written or in its normal form. Raises Refusal."""
    if not text:
        raise refuse_value(field, "应为收件人，不能为空", "it must be a recipient and can't be empty")
    return clean(text, MAX_ADDRESS)


def read_part(text: str) -> str:
    """Read a part of a recipient in lower case, of a phone number its digits alone. Raises Refusal."""
    part = clean(text, MAX_ADDRESS).strip().lower()
    if not part:
        raise refuse_value(
            "part", "应为收件人的一部分，不能为空", "it must be a part of a recipient and can't be empty"
        )
    return _BETWEEN_DIGITS.sub("", part) if _SPACED_NUMBER.fullmatch(part) else part


def read_reference(text: str) -> str:
    """Read what a client calls a request. Raises Refusal."""
    if not 1 <= len(text) <= MAX_REFERENCE:
        zh = f"应为发送时给出的 reference，1 到 {MAX_REFERENCE} 个字符"
        en = f"it must be the reference that a send gave, 1 to {MAX_REFERENCE} characters"
        raise refuse_value("reference", zh, en)
    return clean(text, MAX_REFERENCE)


def _read_unix(text: str) -> datetime:
    seconds = Decimal(text)
    if not 0 <= seconds <= _LATEST:
        raise ValueError("before 1970, milliseconds, or beyond all time")
    return EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
