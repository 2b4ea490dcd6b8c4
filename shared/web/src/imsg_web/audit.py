"""Records of the audit, as a service writes them of what a caller does."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from imsg_contract.wire import Change
from imsg_web.callers import Caller

_DIGEST_DIGITS = 32


def make_change(
    caller: Caller,
    action: str,
    target: str,
    at: datetime,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    target_id: str | None = None,
    request: str | None = None,
) -> Change:
    """Make the record of what a caller does; `before` and `after` hold no password, token or whole address.

    `target_id` is the id of the user who is the target, and `request` the request of messages that it is about.
    """
    return Change(
        actor=caller.username,
        actor_id=caller.user_id or None,
        key=None if caller.key is None else caller.key.name,
        address=caller.address or None,
        action=action,
        target=target,
        target_id=target_id,
        before=None if before is None else dict(before),
        after=None if after is None else dict(after),
        request=request,
        at=at,
    )


def hide_person(address: str | None, key: bytes) -> dict[str, str] | None:
    """Return an address as the audit shows it: masked, and with a digest by which holders of the key recognize it."""
    if not address:
        return None
    name, at, domain = address.rpartition("@")
    masked = f"{name[:1]}***@{domain}" if at else f"{address[:3]}***{address[-2:]}"
    digest = hmac.new(key, b"audit\0" + address.encode(), hashlib.sha256).hexdigest()
    return {"masked": masked, "digest": digest[:_DIGEST_DIGITS]}
