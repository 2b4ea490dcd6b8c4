"""Register users at auth, read them, and charge them as a gateway does."""

import secrets
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from imsg_limits.quota import Cost, Quota
from imsg_runtime.redis import Redis
from imsg_testing.auth import Visitor, read_cached
from imsg_testing.quiet_zone import find_quiet_zone

RECORD = {
    "id", "username", "role", "phone", "email", "wechat", "available", "quotas", "per_hour", "per_day",
    "recipients_per_day",
    "may_send_codes", "senders", "sms_countries", "default_category", "department",
    "used_hour", "left_hour", "used_day", "left_day", "used_recipients", "created_at",
}  # fmt: skip


def unique(text: str) -> str:
    """Make a text of this test's own."""
    return f"{text}-{secrets.token_hex(6)}"


def some_phone() -> str:
    """Make a mobile number of mainland China."""
    return f"138{secrets.randbelow(10**8):08}"


def at(name: str) -> str:
    """Write a user's URL."""
    return f"/api/users/{quote(name, safe='')}"


async def register(admin: Visitor, username: str, **fields: object) -> None:
    """Register a user, which must succeed."""
    answer = await admin.post("/api/register", **{"username": username, "password": "battery staple", **fields})
    assert answer.json().items() >= {"errorCode": 0, "username": username}.items(), answer.text


async def record(admin: Visitor, username: str) -> dict[str, Any]:
    """Read a user."""
    answer = await admin.get(at(username))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def charge(redis: Redis, name: str, recipients: int = 1) -> object:
    """Count a request of a user as a gateway does."""
    cached = await read_cached(redis, name)
    quota = Quota(redis, ZoneInfo(find_quiet_zone()))
    return await quota.charge(name, "nonce", int(cached["epoch"]), cached["id"], Cost(recipients))
