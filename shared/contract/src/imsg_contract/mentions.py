"""Addresses that a text mentions, in the normal forms of every channel: an erasure finds by them whom a text names."""

import re
from collections.abc import Iterator

from imsg_contract import addresses

LOCAL_CHARACTERS = 64
"""RFC 5321, section 4.5.3.1.1: so far before its @ an address may begin."""

CUTS = 8
"""In so many places at most a word is cut on either side of an @: time stays linear whatever the text."""

_DOMAIN = re.compile(r"@([A-Za-z0-9.-]{0,255})([\w.-]{0,255})")
"""What may be a domain in ASCII, and what of other scripts goes on from there: of its name, or of the next word."""

_OUTSIDE = frozenset("\"'<>(),:;\\[]@")
"""Around an address, and in none that we take (RFC 5321, without quotes)."""

_PHONE = re.compile(r"(?<![0-9])(?:\+|00)?([1-9][0-9]{6,14})(?![0-9])")
_SPACED_PHONE = re.compile(r"(?<![0-9])1[3-9][0-9][ -][0-9]{4}[ -][0-9]{4}(?![0-9])")
_TAG = re.compile(r"(?<![0-9A-Za-z])(?=([0-9A-Za-z]{3}-?[0-9A-Za-z]{3}-?[0-9A-Za-z]{3})(?![0-9A-Za-z]))")


def find_mentions(text: str) -> set[str]:
    """Return what in a text reads as an address, in its normal form.

    An address may be part of a longer word, such as of an order's name: each place where it may begin is tried.
    """
    return {*_find_emails(text), *_find_phones(text), *_find_tags(text)}


def _find_emails(text: str) -> Iterator[str]:
    for found in _DOMAIN.finditer(text):
        plain, more = found[1], found[2]
        words = plain.split("-")
        domains = {plain, plain + more, *("-".join(words[:count]) for count in range(1, CUTS + 1))}
        local_parts = _find_local_parts(text, found.start())
        for domain in {domain.strip(".-") for domain in domains}:
            for local in local_parts:
                if (address := addresses.email(f"{local}@{domain}")) is not None:
                    yield address


def _find_local_parts(text: str, end: int) -> list[str]:
    """Return what may be the local part of an address whose @ stands at `end`: it begins where a word may."""
    start = end
    while start > max(0, end - LOCAL_CHARACTERS) and not (text[start - 1].isspace() or text[start - 1] in _OUTSIDE):
        start -= 1
    places = [place for place in range(start + 1, end) if not (text[place - 1].isascii() and text[place - 1].isalnum())]
    return [text[place:end] for place in (start, *places[-CUTS:])] if start < end else []


def _find_phones(text: str) -> Iterator[str]:
    forms = [form for digits in _PHONE.findall(text) for form in (digits, f"+{digits}", digits.removeprefix("86"))]
    forms += [number.replace(" ", "").replace("-", "") for number in _SPACED_PHONE.findall(text)]
    return (number for form in forms if (number := addresses.phone(form)) is not None)


def _find_tags(text: str) -> Iterator[str]:
    return (tag for word in _TAG.findall(text) if (tag := addresses.tag(word)) is not None)
