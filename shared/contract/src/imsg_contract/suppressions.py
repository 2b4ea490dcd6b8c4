"""Suppressions: addresses that get no more messages, as services report them and as Redis mirrors them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from imsg_contract.wire import Category, RequestId, Wire


class Reason(StrEnum):
    """Why an address is suppressed."""

    HARD_BOUNCE = "hard_bounce"
    """The server of the address answered for good that there is no such address."""
    INVALID = "invalid"
    """A provider or an administrator says that the address cannot exist."""
    COMPLAINT = "complaint"
    """The recipient reported a message as spam."""
    UNSUBSCRIBE = "unsubscribe"
    """The recipient used the unsubscribe link of a message, or left the official account."""
    OPT_OUT = "opt_out"
    """The recipient replied with an opt-out word (退订), or an administrator entered the address."""


FOR_ALL = frozenset((Reason.HARD_BOUNCE, Reason.INVALID))
"""Reasons that hold for every sender and category; the others may name a sender or signature, and a category."""

OF_THEIR_OWN_WILL = frozenset((Reason.COMPLAINT, Reason.UNSUBSCRIBE, Reason.OPT_OUT))
"""Reasons that are a wish of the recipient: a wish outlives the erasure of the address (ADR 43)."""


def erased_field(digest: str) -> str:
    """Return the replacement of an erased address in the mirror and in the catalog's rows: its tombstone's digest."""
    return f"#{digest}"


class Suppression(Wire):
    """A suppression of one address, published straight into the catalog's queue (`Topology.suppressions`).

    A repeated one changes nothing. One with `lifts` removes the entry of the same address, reason, sender and
    category: a follower comes back, or a recipient replies START.
    """

    v: Literal[1] = 1
    method: str
    address: str
    """In its normal form, as in a Recipient."""
    reason: Reason
    sender: str | None = None
    """The sender it holds for: a mail's named sender, an SMS's signature, an official account. None: every sender."""
    category: Category | None = None
    """The category it holds for; None: every category."""
    evidence: str = ""
    """The text that shows it: a server's reply, or the recipient's."""
    request: RequestId | None = None
    n: int | None = None
    """The message that led to it, where known."""
    until: datetime | None = None
    """When it expires; None: never."""
    at: datetime
    lifts: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One suppression of an address, as the mirror holds it."""

    reason: Reason
    sender: str | None = None
    category: str | None = None
    until_s: float | None = None
    """Unix; None: without an end."""

    def holds(self, sender: str | None, category: str, now_s: float) -> bool:
        """Return whether it blocks a message of a category now; `sender` None: the sender is not known."""
        if self.until_s is not None and self.until_s <= now_s:
            return False
        is_of = sender is None or self.sender in (None, sender)
        return is_of and self.category in (None, category)


def write_entries(entries: Iterable[Entry]) -> str:
    """Encode all entries of an address as the one value of the mirror."""
    rows = [[entry.reason.value, entry.sender, entry.category, entry.until_s] for entry in entries]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def find_reason(value: bytes, sender: str | None, category: str, now_s: float) -> Reason | None:
    """Return why the mirror's value blocks a message; None where the message may be sent.

    An unknown reason, which a later version wrote, counts as `opt_out`.
    """
    for reason, of, what, until_s, *_ in json.loads(value):
        known = Reason(reason) if reason in set(Reason) else Reason.OPT_OUT
        if Entry(known, of, what, until_s).holds(sender, category, now_s):
            return known
    return None
