"""WeChat's rules for the data of a message, by the types of its fields; and its text as the recipient sees it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from imsg_sandbox.inbox import MessageContent

LIMITS: Mapping[str, tuple[int, re.Pattern[str]]] = {
    "thing": (20, re.compile(r"[\s\S]+")),
    "number": (32, re.compile(r"[+-]?[0-9.]+")),
    "letter": (32, re.compile(r"[A-Za-z]+")),
    "symbol": (5, re.compile(r"[^A-Za-z0-9\s]+")),
    "character_string": (32, re.compile(r"[ -~]+")),
    "time": (40, re.compile(r"[^0-9\n]*[0-9].*")),
    "date": (40, re.compile(r"[^0-9\n]*[0-9].*")),
    "amount": (14, re.compile(r"\D?[0-9]{1,10}(\.[0-9]+)?元?")),
    "phone_number": (17, re.compile(r"[0-9+ -]+")),
    "car_number": (8, re.compile(r"\w+")),
    "name": (20, re.compile(r"[A-Za-z ]{1,20}|[^0-9]{1,10}")),
    "phrase": (5, re.compile(r"[\u4e00-\u9fff]+")),
    "const": (20, re.compile(r"[\s\S]+")),
}
"""Type → the most characters, and their pattern (docs/providers.md, WeChat)."""

MAX_CHARACTERS = 600
"""In all values of a message together, and in a customer-service text."""

MAX_TEXT_BYTES = 2_048
"""In a customer-service text."""


def find_error(data: object, fields: tuple[str, ...], constants: Mapping[str, set[str]]) -> str | None:
    """Return the errmsg of a message's data; None where it is valid."""
    if not isinstance(data, dict):
        return "argument invalid! data invalid"
    together = 0
    for name in fields:
        entry = data.get(name)
        value = entry.get("value") if isinstance(entry, dict) else None
        if not isinstance(value, str) or not value:
            return f"argument invalid! data.{name}.value is empty"
        together += len(value)
        kind = name.rstrip("0123456789")
        rule = LIMITS.get(kind) if kind != name else None
        if rule and (len(value) > rule[0] or not rule[1].fullmatch(value)):
            return f"argument invalid! data.{name}.value invalid"
        if "\n" in value or "\r" in value or (constants.get(name) and value not in constants[name]):
            return f"argument invalid! data.{name}.value invalid"
    return "argument invalid! data is too long" if together > MAX_CHARACTERS else None


def is_text_too_long(text: str) -> bool:
    """Return whether a customer-service text is too long for WeChat."""
    return len(text) > MAX_CHARACTERS or len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES


def describe(template: str, fields: tuple[str, ...]) -> dict[str, Any]:
    """Return a template as `get_all_private_template` lists it."""
    words = {"title": "通知", "primary_industry": "", "deputy_industry": "", "example": ""}
    return {"template_id": template, "content": _content(fields), **words}


def describe_notice(template: str, fields: tuple[str, ...]) -> dict[str, Any]:
    """Return a template of notices as `newtmpl/gettemplate` lists it."""
    return {"priTmplId": template, "title": "通知", "content": _content(fields), "example": "", "type": 2}


def _content(fields: tuple[str, ...]) -> str:
    return "\n".join(f"{name}:{{{{{name}.DATA}}}}" for name in fields)


def read(raw: bytes) -> MessageContent:
    """Read a message as its recipient sees it: a single value alone, several with their names."""
    message: dict[str, Any] = json.loads(raw)
    if "text" in message:
        return MessageContent(text=str(message["text"].get("content", "")))
    data: dict[str, Any] = message.get("data", {})
    values = {name: str(entry.get("value", "")) for name, entry in data.items() if isinstance(entry, dict)}
    if len(values) == 1:
        return MessageContent(text=next(iter(values.values())))
    return MessageContent(text="\n".join(f"{name}：{value}" for name, value in values.items()))
