"""The senders, reply-to addresses and providers of a channel, where its sender publishes them in Redis."""

import json
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from imsg_channels.spec import BilingualText
from imsg_contract.errors import Refusal
from imsg_contract.topology import names_key, user_key
from imsg_limits.quota import ALL_SENDERS
from imsg_runtime.redis import Redis
from imsg_web.responses import refuse_unknown_name

FRESH_S = 1.0
"""Names change when a provider is set up: a send may go by what was right a second ago."""

LABELS: Mapping[str, BilingualText] = {
    "sender": BilingualText("发件人", "sender"),
    "reply_to": BilingualText("回复地址", "reply-to address"),
    "provider": BilingualText("服务商", "provider"),
}

SIGNATURE = "signature"
"""The field that holds the signature of each sender of SMS."""

Names = Mapping[str, Mapping[str, Collection[str]]]
"""A field → the names it may hold → the users who may use each; empty: all. Of SIGNATURE: sender → its one."""


class PublishedNames:
    """Reads what senders have published."""

    def __init__(self, redis: Redis, now: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._now = now
        self._kept: dict[str, tuple[float, Names]] = {}

    async def check(self, method: str, given: Mapping[str, str], username: str) -> None:
        """Check the names that a user gives, each in its field; any passes until the channel has published its names.

        Raises Refusal wrong_type, which lists the names there are, may_not_send_by; RedisUnavailable.
        """
        if not given:
            return
        known = await self._of(method)
        for field, name in given.items():
            if (names := known.get(field)) is None:
                continue
            if name not in names:
                usable = [other for other, users in names.items() if not users or username in users]
                raise refuse_unknown_name(field, name, usable, zh=LABELS[field].zh, en=LABELS[field].en)
            if names[name] and username not in names[name]:
                raise Refusal("may_not_send_by", sender=name)

    async def list_permitted(self, method: str, username: str) -> Mapping[str, Any]:
        """Return the names of senders and of reply-to addresses that a user may give, and the senders' signatures.

        Raises RedisUnavailable.
        """
        names, permitted = await self._of(method), await self._redis.call("HGET", user_key(username), "senders")
        senders = None if permitted in (None, ALL_SENDERS.encode()) else permitted.decode().split(",")
        own = [
            name
            for name, users in sorted(names.get("sender", {}).items())
            if (not users or username in users) and (senders is None or name in senders)
        ]
        signatures = {name: text for name, (text, *_) in names.get(SIGNATURE, {}).items() if name in own}
        return {"senders": own, "reply_to": sorted(names.get("reply_to", ())), "signatures": signatures}

    async def find_signature(self, method: str, sender: str | None) -> str | None:
        """Return the signature of a named sender; None where it is none. Raises RedisUnavailable."""
        if sender is None:
            return None
        return next(iter((await self._of(method)).get(SIGNATURE, {}).get(sender, ())), None)

    async def list_providers(self, method: str) -> Collection[str]:
        """Return the names of a channel's providers; none if none are published. Raises RedisUnavailable."""
        return tuple((await self._of(method)).get("provider", ()))

    async def _of(self, method: str) -> Names:
        kept = self._kept.get(method)
        if kept is not None and self._now() < kept[0]:
            return kept[1]
        fields = (*LABELS, SIGNATURE)
        texts = await self._redis.call("HMGET", names_key(method), *fields)
        names = {
            field: users_of for field, text in zip(fields, texts, strict=True) if (users_of := _read(text)) is not None
        }
        self._kept[method] = (self._now() + FRESH_S, names)
        return names


def _read(text: bytes | None) -> Mapping[str, Collection[str]] | None:
    try:
        users_of = None if text is None else json.loads(text)
    except ValueError:
        users_of = None
    return users_of if isinstance(users_of, dict) else None
