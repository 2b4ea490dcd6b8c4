"""What a sender is not told: the address of a user they wrote to by name. It is the user's and the administrators'."""

from typing import Any

from sqlalchemy import Row

from imsg_channels import BY_NAME

SHORTEST_PART = 3
"""Characters of an address's part that are replaced: fewer stand in any sentence."""

SPOKEN_DIGITS = 8
"""Of a phone number's end: with fewer no number is recognised."""


def is_hidden(row: Row[Any]) -> bool:
    """Tell whether a message went to a user's contact that its sender has not written themselves.

    Whatever was written and is no address of the method is a username.
    """
    channel = BY_NAME.get(row.method)
    if row.address is None or row.written is None:
        return False  # erased
    return row.written != row.address and (channel is None or channel.address.parse(row.written) is None)


def without(address: str, written: str, said: str | None) -> str | None:
    """Put what was written in the place of an address, and of its parts, in what a provider said."""
    if not said:
        return said
    name, at, domain = address.rpartition("@")
    parts = [address]
    if at:
        parts += [name, domain]
    elif address.removeprefix("+").isdigit():
        parts += [address.removeprefix("+"), address.removeprefix("+86"), address[-SPOKEN_DIGITS:]]
    for part in parts:
        if len(part) >= SHORTEST_PART:
            said = _replace(said, part, written)
    return said


def _replace(said: str, part: str, by: str) -> str:
    """Put something in the place of a part wherever it stands as a word, in whatever case."""
    lower, part = said.lower(), part.lower()
    if len(lower) != len(said):  # a letter such as İ, which becomes two
        lower = said
    pieces, since, at = [], 0, lower.find(part)
    while at >= 0:
        end = at + len(part)
        if not (lower[at - 1 : at].isalnum() or lower[end : end + 1].isalnum()):
            pieces += [said[since:at], by]
            since = end
        at = lower.find(part, end)
    return "".join((*pieces, said[since:]))
