"""What a send of v2 takes beside the document's fields."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from imsg_channels.one_line import has_control
from imsg_channels.spec import ChannelSpec
from imsg_contract.wire import Category, Content
from imsg_web.responses import refuse_value

MAX_REFERENCE = 255
NAME = "[a-z0-9_-]{1,32}"
"""Of a sender or a reply-to address, as settings call them."""
SENDER_FIELDS = ("sender", "reply_to")
_NAME = re.compile(NAME)
_PROVIDER = re.compile(r"[\w.-]{1,64}")
SHORTEST_S, LONGEST_S = 30, 172_800
"""How short and how long a message may be tried, where the client says so: 48 h at most."""

CODE_S = 600
"""How long a log-in code is tried at most, and where the client says nothing: after that nobody waits for it."""

CATEGORIES = frozenset(Category)


def read_reference(fields: Mapping[str, Any]) -> str | None:
    """Read what the client calls its request. Raises Refusal wrong_type."""
    reference = fields.get("reference")
    if reference is None:
        return None
    if not isinstance(reference, str) or not 1 <= len(reference) <= MAX_REFERENCE or has_control(reference):
        zh, en = (
            f"应为 1 到 {MAX_REFERENCE} 个字符的一行文字",
            f"it must be one line of 1 to {MAX_REFERENCE} characters",
        )
        raise refuse_value("reference", zh, en)
    return reference


def read_provider(fields: Mapping[str, Any]) -> str | None:
    """Read the one provider that may carry a request. Raises Refusal wrong_type."""
    given = fields.get("provider")
    if given is None:
        return None
    if not isinstance(given, str) or not _PROVIDER.fullmatch(given):
        zh, en = (
            "应为服务商的名字，见 GET /api/v2/channels",
            "it must be a provider's name, as GET /api/v2/channels has it",
        )
        raise refuse_value("provider", zh, en)
    return given


def read_names(fields: Mapping[str, Any], method: ChannelSpec) -> dict[str, str]:
    """Read who it comes from and where replies go, by the names of the settings. Raises Refusal wrong_type.

    Which names there are, and whose, `PublishedNames` knows.
    """
    names = {}
    for field in SENDER_FIELDS:
        given = fields.get(field)
        if given is None:
            continue
        if not method.has_senders:
            raise refuse_value(field, f"{method.name} 没有这一项", f"{method.name} has none")
        if not isinstance(given, str) or not _NAME.fullmatch(given):
            zh, en = (
                "应为设置中的名字：1 到 32 个小写字母、数字、- 或 _",
                "it must be a name of the settings: 1 to 32 of a-z, 0-9, - and _",
            )
            raise refuse_value(field, zh, en)
        names[field] = given
    return names


def add_names(content: Content, names: Mapping[str, str]) -> Content:
    """Put the names into the content: it is kept, so that a resend has them too."""
    return {**content, **names} if names and isinstance(content, dict) else content


def read_category(fields: Mapping[str, Any]) -> Category:
    """Read what a message is for. Raises Refusal wrong_type."""
    given = fields.get("category")
    if given is None:
        return Category.NOTICE
    if not isinstance(given, str) or given not in CATEGORIES:
        raise refuse_value(
            "category",
            "应为 code（验证码）、notice（通知）或 marketing（营销）",
            "it must be code, notice or marketing",
        )
    return Category(given)


def read_life(fields: Mapping[str, Any], category: Category) -> timedelta | None:
    """Read how long a message is to be tried; None: as long as its method has it. Raises Refusal wrong_type."""
    is_code = category is Category.CODE
    seconds, longest_s = fields.get("expires_in"), CODE_S if is_code else LONGEST_S
    if seconds is None:
        return timedelta(seconds=CODE_S) if is_code else None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not SHORTEST_S <= seconds <= longest_s:
        zh, en = "category 为 code 时", ", for category code"
        raise refuse_value(
            "expires_in",
            f"{zh if is_code else ''}应为 {SHORTEST_S} 到 {longest_s} 的整数（秒）",
            f"it must be an integer from {SHORTEST_S} to {longest_s}, in seconds{en if is_code else ''}",
        )
    return timedelta(seconds=seconds)
