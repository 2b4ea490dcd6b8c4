"""MAIL and RCPT as a strict server reads them: paths, parameters, addresses (RFC 5321, RFC 6531)."""

import re
from dataclasses import dataclass, field

ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
LOCAL = re.compile(rf'{ATOM}(?:\.{ATOM})*|"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"')
DOMAIN = re.compile(rf"{LABEL}(?:\.{LABEL})*|\[[0-9A-Za-z:.]+\]")

LOCAL_OCTETS, ADDRESS_OCTETS = 64, 254
"""RFC 5321, section 4.5.3.1, less the angle brackets of a path."""

PATH = re.compile(r"\s*<([^<>]*)>((?:\s+\S+)*)\s*")


class Malformed(Exception):  # noqa: N818  the peer's fault
    """An argument is no path with parameters, or the address in it is none."""


@dataclass(slots=True)
class Envelope:
    """One transaction between MAIL and the final dot."""

    sender: str
    utf8: bool
    recipients: list[str] = field(default_factory=list)


def path(argument: str, keyword: str) -> tuple[str, dict[str, str]]:
    """Split `FROM:<a@b> KEY=VALUE` into the address and its parameters. Raises Malformed."""
    head, colon, rest = argument.partition(":")
    match = PATH.fullmatch(rest) if colon and head.strip().upper() == keyword else None
    if match is None:
        raise Malformed
    parameters: dict[str, str] = {}
    for word in match[2].split():
        key, _, value = word.partition("=")
        parameters[key.upper()] = value
    return match[1], parameters


def verify(address: str, *, utf8: bool) -> None:
    """Raise Malformed where an address can't be one; non-ASCII characters only under SMTPUTF8."""
    local, at, domain = address.rpartition("@")
    if not at or len(local.encode()) > LOCAL_OCTETS or len(address.encode()) > ADDRESS_OCTETS:
        raise Malformed
    if not utf8 and not address.isascii():
        raise Malformed
    if not LOCAL.fullmatch(_as_ascii(local)) or not DOMAIN.fullmatch(_as_ascii(domain)):
        raise Malformed


def _as_ascii(text: str) -> str:
    """Put a letter for every non-ASCII character, which RFC 6531 allows wherever a letter may stand."""
    return "".join(character if character.isascii() else "x" for character in text)
