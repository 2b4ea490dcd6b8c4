"""Explanations of bodies that are no JSON: the place and the remedy, for encodings, line breaks and quotes."""

import codecs
import re
from collections.abc import Callable

from imsg_contract.errors import Refusal

LOOK_BYTES = 4_096
"""The bytes that are examined around a fault, so that a large body is explained as fast as a small one."""

PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
"""The first bytes of gzip, Zstandard and zlib (`Content-Encoding: deflate`)."""

MAX_LINES = 10_000
"""The lines within which a place is searched: a body may have millions."""

_AT = re.compile(r"at line ([0-9]{1,9}) column ([0-9]{1,9})")

_CONTROLS = {
    0x0A: ("换行", "a line break", r"\n"),
    0x0D: ("换行", "a line break", r"\r\n"),
    0x09: ("制表符", "a tab", r"\t"),
}

_QUOTES = ("'", "‘", "’", "“", "”", "＂", "`")
_MARKS = {"：": ":", "，": ",", "｛": "{", "｝": "}", "［": "[", "］": "]"}

_KEY = re.compile(rb'"([^"\\]{1,64})"\s{0,9}:\s{0,9}\Z')


def explain(body: bytes, error: ValueError) -> Refusal:
    """Return the refusal (not_json) of a body that Pydantic could not parse: what is wrong, and what to write."""
    message = str(error)
    place = _find_place(body, message)
    explanations: tuple[Callable[[bytes, int, str], tuple[str, str] | None], ...] = (
        _explain_encoding,
        _explain_control,
        _explain_mark,
        _explain_form,
    )
    for explanation in explanations:
        if (why := explanation(body, place, message)) is not None:
            return Refusal("not_json", why_zh=why[0], why_en=why[1])
    return Refusal("not_json", why_zh=message, why_en=message)


def _explain_encoding(body: bytes, _: int, __: str) -> tuple[str, str] | None:
    head = body[:4]
    if head.startswith(PACKED):
        return "请求体是压缩过的，请不压缩发送", "the body is compressed; send it as it is"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head:
        return "请求体像是 UTF-16 编码，请改用 UTF-8 发送", "the body looks like UTF-16; send UTF-8"
    try:
        body.decode()
    except UnicodeDecodeError as error:
        at, line, column = error.start, *_find_line(body, error.start)
    else:
        return None
    if (text := _decode_gbk(body, at)) is not None:
        return (
            f"第 {line} 行第 {column} 字节起不是 UTF-8，像是 GBK 编码的“{text}”；请改用 UTF-8 发送",
            f"from line {line}, byte {column} it is not UTF-8 but looks like GBK, “{text}”; send UTF-8",
        )
    return (
        f"第 {line} 行第 {column} 字节不是 UTF-8，请改用 UTF-8 发送",
        f"line {line}, byte {column} is not UTF-8; send UTF-8",
    )


def _decode_gbk(body: bytes, at: int) -> str | None:
    """Return the Chinese word that the bytes are in GBK; None if they are none."""
    start = at
    while start > max(0, at - 64) and body[start - 1] >= 0x80:  # noqa: PLR2004  the first byte beyond ASCII
        start -= 1
    try:
        text = codecs.getincrementaldecoder("gbk")().decode(body[start : start + LOOK_BYTES])
    except UnicodeDecodeError:
        return None
    word = re.match(r"[\u3400-\u9fff\u3000-\u303f\uff00-\uffef]{1,12}", text)
    return word[0] if word else None


def _explain_control(body: bytes, place: int, message: str) -> tuple[str, str] | None:
    if not message.startswith("control character"):
        return None
    around = range(max(0, place - 3), min(len(body), place + 3))
    at = next((index for index in around if body[index] < 0x20), None)  # noqa: PLR2004  the first that is none
    if at is None:
        return None
    line, column = _find_line(body, at)
    what_zh, what_en, escape = _CONTROLS.get(body[at], ("控制字符", "a control character", f"\\u{body[at]:04x}"))
    field = _find_field(body, at)
    whose_zh, whose_en = (
        (f"{field} 的字符串里", f"in the string of {field} ") if field else ("字符串里", "in a string ")
    )
    remedy_zh, remedy_en = f"请写成 {escape}", f"write {escape}"
    if field == "file":
        remedy_zh, remedy_en = (
            f"base64 请写成一行，或把它写成 {escape}",
            f"write base64 in one line, or {escape} for it",
        )
    return (
        f"第 {line} 行第 {column} 字节：{whose_zh}有没有转义的{what_zh}；{remedy_zh}",
        f"line {line}, byte {column}: {whose_en}stands {what_en} that is not escaped; {remedy_en}",
    )


def _find_field(body: bytes, at: int) -> str:
    """Return the field whose string holds a place; empty if that is not clear."""
    quote = body.rfind(b'"', 0, at)
    match = _KEY.search(body[max(0, quote - 90) : quote]) if quote > 0 else None
    return match[1].decode("utf-8", "replace") if match else ""


def _explain_mark(body: bytes, place: int, _: str) -> tuple[str, str] | None:
    """Explain quotes and marks that are not those of JSON."""
    around = body[max(0, place - 2) : place + 4].decode("utf-8", "ignore")
    line, column = _find_line(body, place)
    for letter in around:
        if letter in _QUOTES:
            return (
                f"第 {line} 行第 {column} 字节附近用了 {letter}；字段名和字符串要用英文双引号",
                f"near line {line}, byte {column} stands {letter}; names and strings take double quotes",
            )
        if letter in _MARKS:
            return (
                f"第 {line} 行第 {column} 字节附近用了全角的 {letter}；请写成 {_MARKS[letter]}",
                f"near line {line}, byte {column} stands a full-width {letter}; write {_MARKS[letter]}",
            )
    return None


def _explain_form(body: bytes, _: int, __: str) -> tuple[str, str] | None:
    if not body[:LOOK_BYTES].strip() and not body.strip():
        return "请求体是空的", "the body is empty"
    if not body[:LOOK_BYTES].lstrip().startswith((b"{", b"[", b'"')) and b"=" in body[:LOOK_BYTES]:
        return "像是表单，请发送 JSON", "it looks like a form; send JSON"
    return None


def _find_place(body: bytes, message: str) -> int:
    """Return the place that the parser's message names, as an offset into the body."""
    match = _AT.search(message)
    if match is None:
        return 0
    start = 0
    if int(match[1]) > MAX_LINES:
        return 0
    for _ in range(int(match[1]) - 1):
        start = body.find(b"\n", start) + 1
    return min(len(body), max(0, start + int(match[2]) - 1))


def _find_line(body: bytes, at: int) -> tuple[int, int]:
    return body.count(b"\n", 0, at) + 1, at - body.rfind(b"\n", 0, at)
