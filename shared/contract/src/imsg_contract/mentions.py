"""Addresses that a text mentions, in the normal forms of every channel: an erasure searches texts by them."""

import html
import re
import unicodedata
from collections.abc import Iterator
from itertools import accumulate
from urllib.parse import unquote

from imsg_contract import addresses

LOCAL_CHARACTERS = 64
"""The longest local part (RFC 5321, section 4.5.3.1.1)."""

CUTS = 8
"""The most places at which a word is cut on either side of an @, so that the time stays linear."""

_DOMAIN = re.compile(r"@([A-Za-z0-9.-]{0,255})([\w.-]{0,255})")
"""A domain in ASCII, and the letters of other scripts behind it, which belong to its name or to the next word."""

_OUTSIDE = frozenset("\"'<>(),:;\\[]@")
"""Characters around an address that no accepted address has (RFC 5321, without quotes)."""

_PHONE = re.compile(r"(?<![0-9])(?:\+|00)?([1-9][0-9]{6,14})(?![0-9])")
_SPACED_PHONE = re.compile(r"(?:(?<![0-9])|(?<=86))(?=(1[3-9](?:[ ().-]{0,2}[0-9]){9})(?![0-9]))")
_SPACED_ABROAD = re.compile(r"(?:\+|(?<![0-9])00)(?=([1-9](?:[ ().-]{0,2}[0-9]){6,14})(?![0-9]))")
_SEPARATORS = re.compile(r"[ ().-]+")
_TAG = re.compile(
    r"(?<![0-9A-Za-z])"
    r"(?=([0-9A-Za-z]{3}[ \u2010-\u2015-]?[0-9A-Za-z]{3}[ \u2010-\u2015-]?[0-9A-Za-z]{3})(?![0-9A-Za-z]))"
)
_JSON_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")


def find_mentions(text: str) -> set[str]:
    """Return what in a text reads as an address, in its normal form.

    An address may be part of a longer word, such as an order's name: each place where it may begin is tried. It may
    be percent-encoded, escaped in HTML or JSON, or written in full-width letters.
    """
    return {
        address
        for form in {text, _decode(text)}
        for address in (*_find_emails(form), *_find_phones(form), *_find_tags(form))
    }


def _decode(text: str) -> str:
    """Decode a text; percent signs twice, since a URL may be a parameter of another URL."""
    if "%" in text:
        text = unquote(unquote(text))
    if "&" in text:
        text = html.unescape(text)
    if "\\u" in text:
        text = _JSON_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _find_emails(text: str) -> Iterator[str]:
    for match in _DOMAIN.finditer(text):
        plain, more = match[1], match[2]
        words = plain.split("-")
        domains = {plain, plain + more, *("-".join(words[:count]) for count in range(1, CUTS + 1))}
        local_parts = _find_local_parts(text, match.start())
        for domain in {domain.strip(".-") for domain in domains}:
            for local in local_parts:
                if (address := addresses.email(f"{local}@{domain}")) is not None:
                    yield address


def _find_local_parts(text: str, end: int) -> list[str]:
    """Return the possible local parts of an address whose @ is at `end`."""
    start = end
    while start > max(0, end - LOCAL_CHARACTERS) and not (text[start - 1].isspace() or text[start - 1] in _OUTSIDE):
        start -= 1
    places = [place for place in range(start + 1, end) if not (text[place - 1].isascii() and text[place - 1].isalnum())]
    return [text[place:end] for place in (start, *places[-CUTS:])] if start < end else []


def _find_phones(text: str) -> Iterator[str]:
    forms = [form for digits in _PHONE.findall(text) for form in (digits, f"+{digits}", digits.removeprefix("86"))]
    forms += [_SEPARATORS.sub("", number) for number in _SPACED_PHONE.findall(text)]
    forms += [f"+{digits}" for number in _SPACED_ABROAD.findall(text) for digits in _join(number)]
    return (number for form in forms if (number := addresses.phone(form)) is not None)


def _join(number: str) -> Iterator[str]:
    """Return the digits up to the end of each group: the next group may be another number."""
    return accumulate(_SEPARATORS.split(number))


def _find_tags(text: str) -> Iterator[str]:
    letters = ("".join(filter(str.isalnum, word)) for word in _TAG.findall(text))
    return (tag for word in letters if (tag := addresses.tag(word)) is not None)
