"""Bounds on the number of values in a body, checked before it is parsed.

A field costs a byte or two to write and a hundred to hold. A client that shows no valid token gets low bounds. The
token may stand in the body itself, so it is searched for in the bytes; the parsed fields say later which one counts.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from pydantic_core import from_json

from imsg_contract.errors import Refusal

PIECE_BYTES = 64 * 1024
"""A large body is searched so far at once: nearly all of its pieces are base64, which holds none of what is sought."""

MAX_TOKENS = 8
"""How many fields called `token` are looked at from each end: each recipient may have a parameter of that name."""

_TOKEN = b'"token"'
_ESCAPED_TOKEN = re.compile(
    rb'"(?:t|\\u0074)(?:o|\\u006[fF])(?:k|\\u006[bB])(?:e|\\u0065)(?:n|\\u006[eE])"(?<!"token")'
)
"""The name with at least one letter written as an escape."""

_VALUE = re.compile(rb'[ \t\r\n]{0,64}:[ \t\r\n]{0,64}("[^"]{0,4096}")')
"""What follows a field's name. No token holds a quotation mark, so no escape has to be understood; 4,096 bytes are more
than any token has, with the line breaks of wrapped base64."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a body may have."""

    parts: int
    """Lists, objects and fields."""
    commas: int
    """And what parts their items: numbers are no parts."""
    strings: int


STRANGERS = Bounds(parts=1_000, commas=2_000, strings=2_000)
"""For clients without a valid token: a log-in has two fields."""

USERS = Bounds(parts=200_000, commas=500_000, strings=500_000)
"""For users: 10,000 recipients with ten parameters each. It takes a tenth of a second to parse, at most."""


def may_exceed(body: bytes, bounds: Bounds) -> bool:
    """Return at little cost whether a body may exceed its bounds; brackets and commas inside texts count too."""
    if len(body) <= bounds.parts:
        return False
    return (
        sum(_count(body, mark) for mark in (b"[", b"{", b":")) > bounds.parts
        or _count(body, b",") > bounds.commas
        or _count(body, b'"') > 2 * bounds.strings
    )


def check(body: bytes, bounds: Bounds) -> None:
    """Refuse a body beyond its bounds; texts may hold as many signs as they like. Raises Refusal too_many_parts."""
    if not may_exceed(body, bounds):
        return
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') <= 2 * bounds.strings:
        bare = b"".join(plain.split(b'"')[::2])
        if sum(map(bare.count, (b"[", b"{", b":"))) <= bounds.parts and bare.count(b",") <= bounds.commas:
            return
    raise Refusal("too_many_parts", limit=bounds.parts)


def find_tokens(body: bytes) -> list[str]:
    """Return the values that may be the token of a body that is not parsed yet."""
    found = []
    for end in _find_names(body):
        if (value := _VALUE.match(body, end)) is not None:
            with suppress(ValueError):
                found.append(from_json(value[1]))
    return found


def _find_names(body: bytes) -> Iterator[int]:
    """Return where the first and the last fields named `token` end: the body's own is outside its recipients."""
    first = -1
    for _ in range(MAX_TOKENS):
        first = body.find(_TOKEN, first + 1)
        if first < 0:
            break
        yield first + len(_TOKEN)
    last = len(body)
    for _ in range(MAX_TOKENS if first >= 0 else 0):
        last = body.rfind(_TOKEN, first + 1, last)
        if last < 0:
            break
        yield last + len(_TOKEN)
    ends = [name.end() for name in _ESCAPED_TOKEN.finditer(body)]
    yield from dict.fromkeys((*ends[:MAX_TOKENS], *ends[-MAX_TOKENS:]))


def _count(body: bytes, mark: bytes) -> int:
    """Count a byte; where it is rare, `find` passes over a piece ten times as fast as `count`."""
    found = 0
    for at in range(0, len(body), PIECE_BYTES):
        end = at + PIECE_BYTES
        if body.find(mark, at, end) >= 0:
            found += body.count(mark, at, end)
    return found
