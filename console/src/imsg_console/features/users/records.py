"""A user as the page handles one: what may be changed, and where in a form a refusal belongs."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from imsg_channels import CONTACTS
from imsg_console.client import ApiError
from imsg_console.texts import Texts

User = Mapping[str, Any]
"""As GET /api/v2/users gives it."""

LIMITS = ("per_hour", "per_day", "recipients_per_day")
FIELDS = ("username", "password", *CONTACTS, "role", *LIMITS, "available", "may_send_codes", "senders")

ALL, NONE = "all", "none"
"""Of a user's senders: all there are, as the API says it; and nothing but the default one, as a person writes it."""

UNSAID: Mapping[str, Any] = {"senders": ALL}
"""What holds where an auth of before does not say it."""

MOST = 1_000_000
"""The largest limit."""

PER_HOUR, PER_DAY = 5, 20
"""What a new user starts with."""

MOST_NAME, LEAST_PASSWORD, MOST_PASSWORD = 64, 8, 256

REASONS: Mapping[str, str] = {"username_taken": "username", "no_such_user": "username"}
"""Reason → the field it is about, where the reason says it all."""

_BETWEEN = re.compile("[,，、;；]")
_NAMED = re.compile(r"^(?:参数 )?(" + "|".join(FIELDS) + r")(?: (?=[^ -~])|(?= ))")
"""What a refusal's sentence begins with; the space before Chinese goes, since the field's own name is Chinese there."""


def changes(before: User, after: Mapping[str, Any]) -> dict[str, Any]:
    """Return what PATCH /api/v2/users/NAME is asked: only what differs; an absent contact is written empty."""
    asked = {}
    for name, value in after.items():
        if name in CONTACTS and (value or "") != (before[name] or ""):
            asked[name] = value or ""
        elif name == "recipients_per_day" and value != before[name]:
            asked[name] = "none" if value is None else value
        elif name not in (*CONTACTS, "recipients_per_day") and value != before.get(name, UNSAID.get(name)):
            asked[name] = value
    return asked


def show_senders(senders: str | Sequence[str]) -> str:
    """Write a user's senders as the form has them: empty for all, `none` for no other than the default one."""
    return "" if senders == ALL else ", ".join(senders) or NONE


def read_senders(text: str) -> str | list[str]:
    """Read them from the form, as the API takes them; names stand apart by commas of either script or spaces."""
    names = list(dict.fromkeys(_BETWEEN.sub(" ", text).lower().split()))
    if names in ([], [ALL]):
        return ALL
    return [] if names == [NONE] else sorted(names)


def place_error(t: Texts, error: ApiError) -> tuple[str, str]:
    """Return the field that a refusal is about, if any, and its sentence with the field's name as the page has it."""
    detail = error.detail or t("layout.unreachable")
    named = _NAMED.match(detail)
    if named is None:
        return REASONS.get(error.reason, ""), detail
    return named[1], detail[: named.start()] + t(f"users.{named[1]}") + detail[named.end() :]
