"""Checking that a callback is iMSG's: Standard Webhooks 1.0.0, signatures `v1`.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field, ValidationError

from imsg_client.errors import CallbackInvalid
from imsg_client.models import Model

TOLERANCE_S = 300.0
"""How old a callback may be, and how far ahead of our clock: the specification's five minutes."""

PREFIX = "whsec_"
VERSION = "v1"

DIGITS = 12
"""Of a time that is read at all."""


class Event(Model):
    """Something that happened to a message, a request or a channel."""

    id: str
    """The same over all repeats: process each once."""
    type: str
    timestamp: datetime
    data: Mapping[str, Any] = Field(default_factory=dict)
    cursor: str | None = None
    """Of `Client.events`: the cursor to resume from once this one is processed; None in a callback."""


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance_s: float = TOLERANCE_S,
    clock: Callable[[], float] = time.time,
) -> Event:
    """Check a callback over the very bytes that came, and read it.

    `headers` by name, whatever its case. Several secrets while one is being changed: any of them will do.
    Raises CallbackInvalid.
    """
    by_name = {name.lower(): value for name, value in headers.items()}
    try:
        name, sent_at, signatures = (by_name[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise CallbackInvalid(f"the header {missing.args[0]} is missing") from None
    if (
        not (sent_at.isascii() and sent_at.isdigit() and len(sent_at) <= DIGITS)
        or abs(clock() - int(sent_at)) > tolerance_s
    ):
        raise CallbackInvalid(f"its time, {sent_at}, is more than {tolerance_s:g} s from ours")
    signed = f"{name}.{sent_at}.".encode("utf-8", "replace") + body
    expected = [_sign(key, signed).encode() for key in ([secret] if isinstance(secret, str) else secret)]
    read = (signature.partition(",") for signature in signatures.split())
    presented = [value.encode("utf-8", "replace") for version, _, value in read if version == VERSION]
    if not any(hmac.compare_digest(value, other) for value in presented for other in expected):
        raise CallbackInvalid("no signature of it was made with this secret")
    try:
        return Event.model_validate({"id": name} | json.loads(body))
    except (ValueError, TypeError, ValidationError) as error:
        raise CallbackInvalid(f"its body is no event: {error}") from error


def _sign(secret: str, signed: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise CallbackInvalid(f"the secret is none: it is {PREFIX} and base64") from None
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
