"""Twilio's signature on what it calls back (twilio.com/docs/usage/security, read 2026-11)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, parse_qsl, urlsplit, urlunsplit

from imsg_contract.constant_time import equals

SIGNATURE = "x-twilio-signature"
SETTINGS = "x-twilio-webhooks-signature-settings"

_ALGORITHM = re.compile(r"algorithm=HMAC_(SHA1|SHA256)")
_PORTS = {"http": 80, "https": 443}

Fields = Mapping[str, Sequence[str]]
"""A form's names and all values of each."""


def is_signed(url: str, headers: Mapping[str, str], body: bytes, token: str, key: str | None = None) -> bool:
    """Tell whether a call carries the signature of the account that has this token.

    `key` is the shared key of accounts that sign by HMAC-SHA256. JSON has to be named in the URL by its hash: without
    it the body would not be signed at all, and anybody who saw one signed URL could send another body to it.
    """
    given = headers.get(SIGNATURE, "")
    found = _ALGORITHM.search(headers.get(SETTINGS, ""))
    algorithm = found[1].lower() if found else "sha1"
    secret = token if algorithm == "sha1" else key
    if not given or not secret:
        return False
    fields: Fields = {}
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    elif body or "bodySHA256" in url:
        named = dict(parse_qsl(urlsplit(url).query)).get("bodySHA256", "")
        if not equals(named, hashlib.sha256(body).hexdigest()):
            return False
    return any(equals(given, sign(one, fields, secret, algorithm)) for one in _spellings(url))


def sign(url: str, fields: Fields, secret: str, algorithm: str = "sha1") -> str:
    """Sign a URL and the form behind it: every name followed by its values, each different one once, sorted."""
    text = url + "".join(name + value for name in sorted(fields) for value in sorted(set(fields[name])))
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), algorithm)).decode()


def _spellings(url: str) -> tuple[str, str]:
    """Write a URL with its port and without: Twilio signs either, by its version and the scheme."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    name, _, port = host.rpartition(":")
    bare = name if name and port.isdecimal() else host
    number = port if bare != host else _PORTS.get(parts.scheme, 443)
    head = parts.netloc.removesuffix(host)
    return (
        urlunsplit(parts._replace(netloc=f"{head}{bare}")),
        urlunsplit(parts._replace(netloc=f"{head}{bare}:{number}")),
    )
