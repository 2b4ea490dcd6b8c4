"""Fills in the templates of described calls: replaces placeholders, and encodes each value for its context."""

import base64
import hashlib
import hmac
import html
import json
from collections.abc import Callable, Mapping
from urllib.parse import quote

from imsg_sms.http_settings import PLACEHOLDER, ComputedValue


def fill(template: str, values: Mapping[str, str], encode: Callable[[str], str]) -> str:
    """Replace each `{name}` that has a value; other braces, such as JSON's, stay."""
    return PLACEHOLDER.sub(lambda match: encode(values[match[1]]) if match[1] in values else match[0], template)


def compute(computed: ComputedValue, values: Mapping[str, str], charset: str = "utf-8") -> str:
    """Return the value of a computed placeholder; `values` are those before it."""
    text = fill(computed.of, values, str).encode(charset, "replace")
    kind, _, algorithm = computed.by.rpartition("-")
    if computed.by == "plain":
        digest = text
    elif kind == "hmac":
        digest = hmac.digest(fill(computed.key, values, str).encode(charset, "replace"), text, algorithm)
    else:
        digest = hashlib.new(algorithm, text, usedforsecurity=False).digest()
    if computed.form == "base64":
        return base64.b64encode(digest).decode()
    return digest.hex().upper() if computed.form == "HEX" else digest.hex()


def guess_kind(body: str) -> str:
    """Return the Content-Type of a body for which none is set."""
    return "application/json" if body.lstrip().startswith(("{", "[")) else "application/x-www-form-urlencoded"


def encoder(kind: str, charset: str = "utf-8") -> Callable[[str], str]:
    """Return the function that encodes a value for a body of this Content-Type."""
    if "json" in kind:
        return _in_json
    if "form" in kind:
        return lambda value: in_url(value, charset)
    return html.escape if "xml" in kind else str


def _in_json(value: str) -> str:
    """Encode a value for a JSON string, without quotes."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


def in_url(value: str, charset: str = "utf-8") -> str:
    """Encode a value for a URL or a form."""
    return quote(value.encode(charset), safe="")


def in_header(value: str) -> str:
    """Encode a value for a header, which must be printable ASCII."""
    return value if value.isascii() and value.isprintable() else quote(value, safe=" ")
