"""The filters of GET /api/v2/messages, as the URL of a page has them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from imsg_channels import METHODS

STATUSES = (
    "scheduled",
    "held",
    "queued",
    "retrying",
    "sent",
    "delivered",
    "failed",
    "expired",
    "uncertain",
    "cancelled",
)
UNSETTLED = frozenset({"scheduled", "held", "queued", "retrying"})
RESENDABLE = frozenset({"failed", "expired"})
"""Statuses that POST /api/v2/resend resends without `uncertain`."""

MAX_TEXT = 400
"""Characters of a filter that are kept of a URL: a longer one finds nothing anyhow."""

_ID = re.compile(r"[0-9a-f]{32}(?:-(?:0|[1-9][0-9]{0,8}))?")
_WHOLE = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@.]{2,}|\+?[0-9][0-9 -]{9,}[0-9]", re.ASCII)
"""A whole address or number, which the API finds by an index; any other text is a part of one."""
_LOCAL = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters; empty ones filter nothing. Times are as they were typed, in the installation's zone.

    `status` may be several, with commas between them.
    """

    id: str = ""
    username: str = ""
    key: str = ""
    """The name of an API key."""
    method: str = ""
    status: str = ""
    code: str = ""
    """Of an error, to the letter."""
    to: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filters":
        """Read the query of a URL; unknown fields are left out."""
        values = {field.name: query.get(field.name, "").replace("\0", "").strip()[:MAX_TEXT] for field in fields(cls)}
        if values["method"] not in METHODS:
            values["method"] = ""
        values["status"] = ",".join(status for status in STATUSES if status in values["status"].split(","))
        return cls(**values)

    def url(self, **more: str) -> str:
        """Write them as the query of a URL; empty ones are left out."""
        pairs = {field.name: getattr(self, field.name) for field in fields(self)} | more
        return urlencode({name: value for name, value in pairs.items() if value})

    def as_parameters(self, zone: ZoneInfo) -> dict[str, str]:
        """Write them as the parameters of GET /api/v2/messages. Raises NotATimeError, NotAnIdError."""
        pairs = {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name)}
        if self.id:
            pairs["id"] = read_id(self.id)
        if self.to and not _WHOLE.fullmatch(self.to):
            pairs["part"] = pairs.pop("to")
        for name in ("since", "until"):
            if name in pairs:
                pairs[name] = read_time(pairs[name], zone, name)
        return pairs

    def without(self, name: str) -> "Filters":
        """Return the filters without one of them."""
        return replace(self, **{name: ""})

    @property
    def statuses(self) -> tuple[str, ...]:
        """The statuses; empty for all of them."""
        return tuple(self.status.split(",")) if self.status else ()

    @property
    def means_recipients(self) -> bool:
        """Whether a filter is about single messages, so that a row is no longer a request."""
        return bool(self.id or self.status or self.to or self.code)

    @property
    def set(self) -> dict[str, str]:
        """The filters that are not empty."""
        return {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name)}


class NotATimeError(ValueError):
    """A time cannot be read; the argument names the field."""


class NotAnIdError(ValueError):
    """An id cannot be read."""


def read_id(text: str) -> str:
    """Read a request's or message's id. Raises NotAnIdError."""
    plain = text.strip().lower()
    if not _ID.fullmatch(plain):
        raise NotAnIdError(text)
    return plain


def write_local(at: datetime, zone: ZoneInfo) -> str:
    """Write a time as the fields of the page have it: by the console's own clock, to the second."""
    return f"{at.astimezone(zone):%Y-%m-%dT%H:%M:%S}"


def read_time(text: str, zone: ZoneInfo, field: str) -> str:
    """Read a local time, or a day, and write it as RFC 3339 in UTC. Raises NotATimeError.

    A day as `until` means its end: until the 5th includes the 5th. A time with its zone, as the API writes it, is
    returned unchanged.
    """
    if not _LOCAL.fullmatch(text):
        return _with_zone(text, field)
    try:
        at = datetime.fromisoformat(text).replace(tzinfo=zone)
        if len(text) == len("2026-11-25") and field == "until":
            at += timedelta(days=1)
        return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError) as error:
        raise NotATimeError(field) from error


def _with_zone(text: str, field: str) -> str:
    try:
        at = datetime.fromisoformat(text.replace(" ", "+") if text.count(" ") == 1 and "T" in text else text)
        if at.tzinfo is None:
            raise NotATimeError(field)
        return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError) as error:
        raise NotATimeError(field) from error
