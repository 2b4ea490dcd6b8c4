"""What is shown of texts that may hold secrets: settings, and whatever comes into a line of the log."""

import re

HIDDEN = "••••"

SECRET_WORDS = ("pass", "pwd", "secret", "token", "key", "auth", "credential", "sig", "ticket")
"""What stands in the name of a URL's parameter that is or may be a secret."""

_TOKEN = re.compile(r"(?i)\b(token=)[^&\s\"'<>]+")

_PARAMETER = re.compile(
    r"(?i)(?<=[?&;])([\w.%-]{0,40}(?:pass|pwd|secret|token|key|auth|credential|sig|ticket|code|state)[\w.%-]{0,40}=)"
    r"[^&;\s\"'<>]+"
)
"""A parameter of a URL that may be a secret, OpenID Connect's `code` and `state` among them."""

_PATH = re.compile(r"(?i)(/hooks/+smtp/|/hooks/+sms/+[^/?\s\"'<>]{1,64}/|/u/)[^?\s\"'<>]+")
"""A path of ours that ends with a secret: of pushes, and of who unsubscribes."""

_LOGIN = re.compile(r"(?<=://)([^\s:/@\"'<>]{0,64}):[^\s\"'<>]{1,256}@")

_PLACEHOLDER = re.compile(r"(\{\w{1,64}\})")


def mask(text: str) -> str:
    """Hide the passwords of the URLs in a text, and those of their parameters that may be secrets.

    A password ends at the last @: one that was not percent-encoded may hold anything. Rather too much is hidden than
    too little: hosts of a cluster of which each has a password.
    """
    return " ".join(_mask_url(word) if "://" in word else word for word in text.split(" "))


def mask_line(text: str) -> str:
    """Hide what may be a secret in the URLs and paths of a line, however they came in: an exception's text, a path."""
    if "/" not in text and "=" not in text:
        return text
    text = _PATH.sub(rf"\1{HIDDEN}", text)
    text = _PARAMETER.sub(rf"\1{HIDDEN}", text)
    text = _TOKEN.sub(rf"\1{HIDDEN}", text)
    return _LOGIN.sub(rf"\1:{HIDDEN}@", text)


def mask_template(text: str) -> str:
    """Show the placeholders of a template such as `user={name}`, and of what stands between them nothing."""
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
