"""How a described call is filled in: placeholders, what is computed of them, and each value encoded by its place."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from imsg_sms.http_settings import Computed

_PLACE = re.compile(r"\{(\w+)\}")


def fill(template: str, values: Mapping[str, str], encode: Callable[[str], str]) -> str:
    """Put values in the places of `{name}`; what names no value stays as it is, JSON's own braces too."""
    return _PLACE.sub(lambda place: encode(values[place[1]]) if place[1] in values else place[0], template)


def compute(one: Computed, values: Mapping[str, str], charset: str = "utf-8") -> str:
    """Compute a placeholder from those before it."""
    text = fill(one.of, values, str).encode(charset, "replace")
    kind, _, algorithm = one.by.rpartition("-")
    if one.by == "plain":
        digest = text
    elif kind == "hmac":
        digest = hmac.digest(fill(one.key, values, str).encode(charset, "replace"), text, algorithm)
    else:
        digest = hashlib.new(algorithm, text, usedforsecurity=False).digest()
    if one.form == "base64":
        return base64.b64encode(digest).decode()
    return digest.hex().upper() if one.form == "HEX" else digest.hex()


def guess_kind(body: str) -> str:
    """Say what a body is that names no Content-Type."""
    return "application/json" if body.lstrip().startswith(("{", "[")) else "application/x-www-form-urlencoded"


def encoder(kind: str, charset: str = "utf-8") -> Callable[[str], str]:
    """Return what writes a value for its place in a body of this kind."""
    if "json" in kind:
        return _in_json
    if "form" in kind:
        return lambda value: in_url(value, charset)
    return _in_xml if "xml" in kind else str


def _in_json(value: str) -> str:
    """Write a value for inside a JSON string: the description has the quotes."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


def in_url(value: str, charset: str = "utf-8") -> str:
    """Write a value for a URL or a form."""
    return quote(value.encode(charset), safe="")


def _in_xml(value: str) -> str:
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        value = value.replace(letter, entity)
    return value


def in_header(value: str) -> str:
    """Write a value for a header: line ends would begin another, and headers are ASCII."""
    return value if value.isascii() and value.isprintable() else quote(value, safe=" ")
