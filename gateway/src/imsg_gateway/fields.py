"""Readers of the fields that a send of v2 has and a send of v1 has not."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from imsg_channels.one_line import has_control
from imsg_channels.spec import ChannelSpec
from imsg_contract.send_times import read_send_at
from imsg_contract.wire import Category, Content
from imsg_web.responses import refuse_value

MAX_REFERENCE = 255
NAME = "[a-z0-9_-]{1,32}"
"""The form of the name that settings give a sender or a reply-to address."""
SENDER_FIELDS = ("sender", "reply_to")
_NAME = re.compile(NAME)
_PROVIDER = re.compile(r"[\w.-]{1,64}")
MIN_S, MAX_S = 30, 172_800
"""The bounds of `expires_in`: half a minute to 48 h."""

CODE_S = 600
"""The longest lifetime of a log-in code, and its default: people wait no longer for it."""

LIFETIME_OF_CODES = timedelta(seconds=CODE_S)

CATEGORIES = frozenset(Category)


def read_reference(fields: Mapping[str, Any], field: str = "reference") -> str | None:
    """Return the client's own name of the request, or of a message, if any. Raises Refusal wrong_type."""
    reference = fields.get("reference")
    if reference is None:
        return None
    if not isinstance(reference, str) or not 1 <= len(reference) <= MAX_REFERENCE or has_control(reference):
        raise refuse_value(
            field,
            f"应为 1 到 {MAX_REFERENCE} 个字符的一行文字",
            f"it must be one line of 1 to {MAX_REFERENCE} characters",
        )
    return reference


def read_provider(fields: Mapping[str, Any]) -> str | None:
    """Return the name of the only provider that may send the request, if it names one. Raises Refusal wrong_type."""
    provider = fields.get("provider")
    if provider is None:
        return None
    if not isinstance(provider, str) or not _PROVIDER.fullmatch(provider):
        raise refuse_value(
            "provider",
            "应为服务商的名字，见 GET /api/v2/channels",
            "it must be a provider's name, as GET /api/v2/channels has it",
        )
    return provider


def read_names(fields: Mapping[str, Any], method: ChannelSpec) -> dict[str, str]:
    """Return the names of the sender and of the reply-to address, by field. Raises Refusal wrong_type.

    `PublishedNames` knows which names exist, and who may use them.
    """
    names = {}
    is_accepted = {"sender": method.sender is not None, "reply_to": method.sender == "address"}
    for field in SENDER_FIELDS:
        name = fields.get(field)
        if name is None:
            continue
        if not is_accepted[field]:
            raise refuse_value(field, f"{method.name} 没有这一项", f"{method.name} has none")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise refuse_value(
                field,
                "应为设置中的名字：1 到 32 个小写字母、数字、- 或 _",
                "it must be a name of the settings: 1 to 32 of a-z, 0-9, - and _",
            )
        names[field] = name
    return names


def add_names(content: Content, names: Mapping[str, str]) -> Content:
    """Return the content with these names; a text becomes `{text}`. It is kept, so a resend has them too."""
    if not names:
        return content
    return {**content, **names} if isinstance(content, dict) else {"text": content, **names}


def drop_names(content: Content, method: ChannelSpec) -> Content:
    """Return a content as `add_names` took it."""
    if not isinstance(content, dict):
        return content
    words = {field: value for field, value in content.items() if field not in SENDER_FIELDS}
    return words["text"] if method.has_templates and list(words) == ["text"] else words


def read_category(fields: Mapping[str, Any]) -> Category:
    """Return the category of the messages; `notice` by default. Raises Refusal wrong_type."""
    category = fields.get("category")
    if category is None:
        return Category.NOTICE
    if not isinstance(category, str) or category not in CATEGORIES:
        raise refuse_value(
            "category",
            "应为 code（验证码）、notice（通知）或 marketing（营销）",
            "it must be code, notice or marketing",
        )
    return Category(category)


def read_due_at(fields: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return when a message is to be sent; None: at once. Raises Refusal wrong_type, no_offset, too_far, in_past."""
    if (given := fields.get("send_at")) is None:
        return None
    send_at = read_send_at(given, now)
    return send_at if send_at > now else None


def read_lifetime(fields: Mapping[str, Any], category: Category) -> timedelta | None:
    """Return how long the messages are tried; None for the default of the method. Raises Refusal wrong_type."""
    is_code = category is Category.CODE
    seconds, longest_s = fields.get("expires_in"), CODE_S if is_code else MAX_S
    if seconds is None:
        return LIFETIME_OF_CODES if is_code else None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not MIN_S <= seconds <= longest_s:
        zh, en = ("category 为 code 时", ", for category code") if is_code else ("", "")
        raise refuse_value(
            "expires_in",
            f"{zh}应为 {MIN_S} 到 {longest_s} 的整数（秒）",
            f"it must be an integer from {MIN_S} to {longest_s}, in seconds{en}",
        )
    return timedelta(seconds=seconds)
