"""Addresses as a strict mail server reads them (RFC 5321, RFC 6531)."""

import re

ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
LOCAL = re.compile(rf'{ATOM}(?:\.{ATOM})*|"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"')
DOMAIN = re.compile(rf"{LABEL}(?:\.{LABEL})*|\[[0-9A-Za-z:.]+\]")

LOCAL_OCTETS, ADDRESS_OCTETS = 64, 254
"""RFC 5321, section 4.5.3.1, less the angle brackets of a path."""


def is_address(address: str, *, utf8: bool) -> bool:
    """Return whether an address can be one; non-ASCII characters only under SMTPUTF8."""
    local, at, domain = address.rpartition("@")
    octets = len(address.encode(errors="surrogateescape"))
    if not at or len(local.encode(errors="surrogateescape")) > LOCAL_OCTETS or octets > ADDRESS_OCTETS:
        return False
    if not utf8 and not address.isascii():
        return False
    return bool(LOCAL.fullmatch(_as_ascii(local)) and DOMAIN.fullmatch(_as_ascii(domain)))


def _as_ascii(text: str) -> str:
    """Replace each non-ASCII character by a letter; RFC 6531 allows both in the same places."""
    return "".join(character if character.isascii() else "x" for character in text)
