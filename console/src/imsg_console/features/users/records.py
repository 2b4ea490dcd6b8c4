"""The fields of a user in the API, their bounds, and the changes that a form makes."""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from imsg_channels import CONTACTS
from imsg_console.client import ApiError
from imsg_console.texts import Texts
from imsg_console.widgets import forms

User = Mapping[str, Any]
"""As GET /api/v2/users gives it."""

LIMITS = ("per_hour", "per_day", "recipients_per_day")
FIELDS = ("username", "password", *CONTACTS, "role", *LIMITS, "available", "may_send_codes", "senders",
          "sms_countries", "default_category", "department")  # fmt: skip

ALL, NONE = "all", "none"
"""The words for a user's senders in the form: all senders, or only the default one."""

CATEGORIES = ("notice", "code", "marketing")

MAX_LIMIT = 1_000_000
"""The largest limit."""

MAX_NAME, MIN_PASSWORD, MAX_PASSWORD = 64, 8, 256

NEW: User = {
    "email": "",
    "phone": "",
    "wechat": "",
    "role": "user",
    "per_hour": 5,
    "per_day": 20,
    "recipients_per_day": None,
    "available": True,
    "may_send_codes": False,
    "senders": None,
    "sms_countries": ["CN"],
    "default_category": "notice",
    "department": None,
}
"""What a new user starts with."""

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters of passwords, without those that look alike: i, l, o, 0, 1."""

_BETWEEN = re.compile("[,，、;；]")


def make_password() -> str:
    """Make a password of 79 bits that people can read aloud: `h4kd-9mzt-…`."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4))


def find_changes(before: User, after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of PATCH /api/v2/users/NAME: only what differs. A contact that was removed is written empty."""
    changes = {}
    for name, value in after.items():
        if name in CONTACTS and (value or "") != (before[name] or ""):
            changes[name] = value or ""
        elif name not in CONTACTS and value != before[name]:
            changes[name] = value
    return changes


def write_senders(senders: Sequence[str] | None) -> str:
    """Write a user's senders as the form has them: empty for all, `none` for no other than the default one."""
    return "" if senders is None else ", ".join(senders) or NONE


def read_senders(text: str) -> list[str] | None:
    """Return them from the form, in the API's form; commas of either script or spaces separate the names."""
    names = list(dict.fromkeys(_BETWEEN.sub(" ", text).lower().split()))
    if names in ([], [ALL], ["全部"]):
        return None
    return [] if names in ([NONE], ["无"]) else sorted(names)


def read_countries(text: str) -> list[str] | None:
    """Read the countries of SMS; None where there is none, as a new user has them."""
    return sorted(set(_BETWEEN.sub(" ", text).upper().split())) or None


def locate_error(t: Texts, error: ApiError) -> tuple[str, str]:
    """Return the field that a refusal is about, if any, and its sentence with the field's label."""
    return forms.locate_error(t, error, {name: t(f"users.{name}") for name in FIELDS})
