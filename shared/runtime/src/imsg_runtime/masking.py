"""Secrets are hidden in texts that people see: settings, log lines, and what a provider answers."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, SecretStr

HIDDEN = "••••"

MIN_SECRET_CHARACTERS = 8
"""What is shorter is not looked for in answers: it would be found where it is not meant."""

SECRET_WORDS = ("pass", "pwd", "secret", "token", "key", "auth", "credential", "sig", "ticket")
"""Parts of the names of URL parameters that may be secrets."""

_PARAMETER = re.compile(
    r"(?i)(?<=[?&;])([\w.%\[\]-]{0,40}(?:pass|pwd|secret|token|key|auth|credential|sig|ticket|code|state)"
    r"[\w.%\[\]-]{0,40}=)[^&;\s\"'<>]+"
)
"""A parameter of a URL that may be a secret, OpenID Connect's `code` and `state` among them."""

_ASSIGNMENT = re.compile(
    r"(?i)(?<![\w.\[\]-])([\w.\[\]-]{0,40}(?:pass|pwd|secret|token|credential|api[_-]?key)[\w.\[\]-]{0,40}=)[^&;\s\"'<>]+"
)
"""The same outside a URL, such as the first field of a form: only what hardly means anything else."""

_MEMBER = re.compile(
    r"(?i)([\"'])([\w.-]{0,40}(?:pass|pwd|secret|token|key|auth|credential|sig|ticket)[\w.-]{0,40}\1\s{0,8}:\s{0,8})"
    r"(?:\"(?:[^\"\\]|\\.){1,4096}(?:\"|$)|'(?:[^'\\]|\\.){1,4096}(?:'|$)|[^\s,}\]\"']{1,256})"
)
"""A member of a JSON object, or of a dictionary as Python writes it."""

_BEARER = re.compile(r"(?i)\b((?:bearer|basic)[ ]{1,4})[\w.~+/=-]{8,}")

_API_KEY = re.compile(r"(imsg_(?:live|test)_)[0-9A-Za-z]{1,32}_[0-9A-Za-z]{8,64}")
"""An API key of ours."""

_PATH = re.compile(r"(?i)(/hooks/+smtp/|/hooks/+sms/+[^/?\s\"'<>]{1,64}/|/u/)[^?\s\"'<>]+")
"""A path of ours that ends with a secret: of pushes, and of who unsubscribes."""

_LOGIN = re.compile(r"(?<=://)([^\s:/@\"'<>]{0,64}):[^\s\"'<>]{1,256}@")

_ESCAPE = re.compile(r"(?i)%(2[1-9a-f]|[3-6][0-9a-f]|7[0-9a-e])|\\u00(2[1-9a-f]|[3-6][0-9a-f]|7[0-9a-e])|\\([\"/])")
"""A visible ASCII character, percent-encoded or escaped in JSON."""

MAX_LAYERS = 4
"""How often a secret may be escaped again, by what wraps it, and still be found."""

_PLACEHOLDER = re.compile(r"(\{\w{1,64}\})")


def mask(text: str) -> str:
    """Hide the passwords of the URLs in a text, and those of their parameters that may be secrets.

    A password ends at the last @, since one that is not percent-encoded may contain an @. Too much may be hidden, such
    as hosts of a cluster, but never too little.
    """
    return " ".join(_mask_url(word) if "://" in word else word for word in text.split(" "))


def mask_line(text: str) -> str:
    """Hide what may be a secret in a line, however it came in: an exception's text, a path, a form, JSON.

    A line whose secret is percent-encoded or escaped in JSON is returned without the escapes.
    """
    masked = plain = _mask_plain(text)
    for _ in range(MAX_LAYERS):
        if "%" not in plain and "\\" not in plain:
            break
        decoded = _ESCAPE.sub(_unescape, plain)
        if decoded == plain:
            break
        plain = _mask_plain(decoded)
        if plain != decoded:
            masked = plain
    return masked


def _mask_plain(text: str) -> str:
    if "=" in text:
        text = _PARAMETER.sub(rf"\1{HIDDEN}", text)
        text = _ASSIGNMENT.sub(rf"\1{HIDDEN}", text)
    if "/" in text:
        text = _PATH.sub(rf"\1{HIDDEN}", text)
        text = _LOGIN.sub(rf"\1:{HIDDEN}@", text)
    if ":" in text:
        text = _MEMBER.sub(rf"\1\2\1{HIDDEN}\1", text)
    if "imsg_" in text:
        text = _API_KEY.sub(rf"\1{HIDDEN}", text)
    return _BEARER.sub(rf"\1{HIDDEN}", text) if " " in text else text


def _unescape(match: re.Match[str]) -> str:
    percent, unicode, plain = match.groups()
    return str(plain) if plain else chr(int(percent or unicode, 16))


def mask_template(text: str) -> str:
    """Return the placeholders of a template such as `user={name}`, and hide the text between them."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme.isalpha():
        authority = re.split("[/?#]", rest, maxsplit=1)[0]
        host = authority.rpartition("@")[2]
        is_host = host.partition(":")[2].isdecimal() or ":" not in host
        return f"{scheme}://{host if is_host else HIDDEN}{mask_template(rest.removeprefix(authority))}"
    return "".join(part if n % 2 else HIDDEN for n, part in enumerate(_PLACEHOLDER.split(text)) if part)


def _mask_url(word: str) -> str:
    scheme, _, rest = word.partition("://")
    before, at, after = rest.rpartition("@")
    username, colon, _ = before.partition(":")
    if at and colon and not any(mark in username for mark in "/?#"):
        rest = f"{username}:{HIDDEN}@{after}"
    base, mark, query = rest.partition("?")
    fields = "&".join(map(_mask_field, query.replace(";", "&").split("&")))
    return f"{scheme}://{base}{mark}{fields}"


def _mask_field(field: str) -> str:
    name, equals, value = field.partition("=")
    return f"{name}={HIDDEN}" if equals and value and any(word in name.lower() for word in SECRET_WORDS) else field


_UNESCAPED = re.compile(r"[\w.~-]+", re.ASCII)
"""The part that is the same in every encoding but Base64: without it the rest of a secret is useless."""


class Secrets:
    """The secrets of some settings. A provider's answer may repeat the call, and with it the log-in."""

    def __init__(self, settings: object) -> None:
        """Find the secrets in `settings`: a model, or any structure of models and SecretStr."""
        secrets = {secret for secret in _list_secrets(settings) if len(secret) >= MIN_SECRET_CHARACTERS}
        forms = {form.encode() for secret in secrets for form in _write(secret)}
        self._forms = sorted(forms, key=len, reverse=True)

    def hide(self, content: bytes) -> bytes:
        """Hide the secrets, however they are written there: plain, escaped, in Base64, or as a digest."""
        for form in self._forms:  # a search for each is much faster than one regular expression
            if form in content:
                content = content.replace(form, b"****")
        return content

    def hide_in(self, text: str) -> str:
        """Return a text with the secrets hidden; see `hide`."""
        return self.hide(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _list_secrets(value: object) -> Iterator[str]:
    """Yield the secrets of settings, at any depth."""
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            for name in type(value).model_fields:
                yield from _list_secrets(getattr(value, name))
        case Mapping():
            for member in value.values():
                yield from _list_secrets(member)
        case list() | tuple():
            for member in value:
                yield from _list_secrets(member)


def _write(secret: str) -> Iterator[str]:
    """Yield the forms in which a call may have a secret."""
    yield from (secret, quote(secret, safe=""), quote_plus(secret), quote(secret))
    for is_ascii in (True, False):  # in JSON, and in JSON that is quoted in JSON
        once = json.dumps(secret, ensure_ascii=is_ascii)[1:-1]
        yield from (once, json.dumps(once, ensure_ascii=is_ascii)[1:-1])
    yield from (run for run in _UNESCAPED.findall(secret) if len(run) >= MIN_SECRET_CHARACTERS)
    octets = secret.encode()
    for before in range(3):  # Base64 of a text around it, such as `user:secret`, begins at any of three places
        whole = (before + len(octets)) * 8 // 6
        yield base64.b64encode(bytes(before) + octets).decode()[(before * 8 + 5) // 6 : whole]
    yield hashlib.md5(octets, usedforsecurity=False).hexdigest()  # what some take in place of a password
