"""Contacts that are hidden from a sender: the addresses of recipients written as usernames."""

from typing import Any

from sqlalchemy import Row

from imsg_channels import BY_NAME

MIN_PART = 3
"""The shortest part of an address that is replaced: shorter ones occur in any sentence."""

SPOKEN_DIGITS = 8
"""The last digits of a phone number that are replaced: fewer do not reveal it."""


def is_hidden(row: Row[Any]) -> bool:
    """Return whether the sender wrote a username: a text that is no address of the method."""
    channel = BY_NAME.get(row.method)
    if row.address is None or row.written is None:
        return False  # erased
    return row.written != row.address and (channel is None or channel.address.read(row.written) is None)


def replace_contact(address: str, written: str, detail: str | None) -> str | None:
    """Replace an address, and its parts, by what the sender wrote, in the text of a provider."""
    if not detail:
        return detail
    name, at, domain = address.rpartition("@")
    parts = [address]
    if at:
        parts += [name, domain]
    elif address.removeprefix("+").isdigit():
        parts += [address.removeprefix("+"), address.removeprefix("+86"), address[-SPOKEN_DIGITS:]]
    for part in parts:
        if len(part) >= MIN_PART:
            detail = _replace_word(detail, part, written)
    return detail


def _replace_word(detail: str, part: str, by: str) -> str:
    """Replace a part wherever it is a whole word, whatever its case."""
    lower, part = detail.lower(), part.lower()
    if len(lower) != len(detail):  # a letter such as İ, which becomes two
        lower = detail
    pieces, since, at = [], 0, lower.find(part)
    while at >= 0:
        end = at + len(part)
        if not (lower[at - 1 : at].isalnum() or lower[end : end + 1].isalnum()):
            pieces += [detail[since:at], by]
            since = end
        at = lower.find(part, end)
    return "".join((*pieces, detail[since:]))
