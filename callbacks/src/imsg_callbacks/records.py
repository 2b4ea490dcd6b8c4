"""The records of callbacks: endpoints, events, deliveries and attempts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imsg_callbacks.schedule import EndpointReply


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL that gets a user's events. Times are Unix milliseconds."""

    id: str
    user_id: str
    username: str
    is_admin: bool
    url: str
    events: tuple[str, ...]
    methods: tuple[str, ...] | None
    description: str
    secret: str
    """Encrypted, as `old_secret` is."""
    old_secret: str | None
    old_until: int | None
    created_at: int
    disabled_at: int | None = None
    disabled_why: str | None = None
    failing_since: int | None = None
    failures: int = 0
    reached_at: int | None = None
    last_error: str | None = None

    @property
    def state(self) -> str:
        """The state of the endpoint: `ok`, `new` (nothing was sent yet), `failing`, `disabled`."""
        if self.disabled_at is not None:
            return "disabled"
        if self.failing_since is not None:
            return "failing"
        return "new" if self.reached_at is None else "ok"

    def list_sealed_secrets(self, now_ms: int) -> Sequence[str]:
        """Return the encrypted secrets that sign at a time: the old one too until `old_until`."""
        if self.old_secret is not None and self.old_until is not None and now_ms < self.old_until:
            return (self.secret, self.old_secret)
        return (self.secret,)


def read_endpoint(row: Any) -> Endpoint:  # noqa: ANN401  a row's mapping
    """Make an endpoint from its row."""
    methods = row["methods"]
    return Endpoint(
        **{name: row[name] for name in Endpoint.__dataclass_fields__ if name not in ("events", "methods", "is_admin")},
        is_admin=bool(row["is_admin"]),
        events=tuple(json.loads(row["events"])),
        methods=None if methods is None else tuple(json.loads(methods)),
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One finished attempt of a delivery. Times are Unix milliseconds."""

    endpoint: str
    number: int
    reply: EndpointReply
    at: int
    due_at: int | None
    """The time of the next attempt; None: there is none."""


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event in the log."""

    id: str
    type: str
    user_id: str
    method: str | None
    body: str
    digests: tuple[str, ...] = ()
    """Digests of the recipient's address, one under each erasure key."""
    named: tuple[str, ...] = ()
    """Digests of the other addresses that its texts mention."""


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that this process has leased."""

    endpoint: Endpoint
    number: int
    event: str
    body: str
    round: int
    """Attempts since the delivery was made or last resent."""
