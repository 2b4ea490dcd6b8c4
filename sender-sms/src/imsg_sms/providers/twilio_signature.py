"""The signature of Twilio's callbacks (twilio.com/docs/usage/security, read November 2026)."""

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
"""Name → values of the fields of a form."""


def is_signed(url: str, headers: Mapping[str, str], body: bytes, token: str, key: str | None = None) -> bool:
    """Return whether a request carries the signature of the account with this token.

    `key` is the shared key of accounts that sign by HMAC-SHA256. A JSON body must have its hash in the URL: only the
    URL is signed, so without the hash any body would pass.
    """
    signature = headers.get(SIGNATURE, "")
    setting = _ALGORITHM.search(headers.get(SETTINGS, ""))
    algorithm = setting[1].lower() if setting else "sha1"
    secret = token if algorithm == "sha1" else key
    if not signature or not secret:
        return False
    fields: Fields = {}
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    elif body or "bodySHA256" in url:
        digest = dict(parse_qsl(urlsplit(url).query)).get("bodySHA256", "")
        if not equals(digest, hashlib.sha256(body).hexdigest()):
            return False
    return any(equals(signature, sign(spelling, fields, secret, algorithm)) for spelling in _spellings(url))


def sign(url: str, fields: Fields, secret: str, algorithm: str = "sha1") -> str:
    """Return the signature of a URL and a form: the URL, then each name with its distinct values, sorted."""
    text = url + "".join(name + value for name in sorted(fields) for value in sorted(set(fields[name])))
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), algorithm)).decode()


def _spellings(url: str) -> tuple[str, str]:
    """Return a URL without and with its port: Twilio signs either, depending on the scheme."""
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
