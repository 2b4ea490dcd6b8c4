"""Suppressions: to whom nothing may be sent any more, as services tell of it and as Redis mirrors it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from imsg_contract.wire import Category, RequestId, Wire


class Reason(StrEnum):
    """Why nothing may be sent to an address any more."""

    HARD_BOUNCE = "hard_bounce"
    """The address is not there: its server said so for good."""
    INVALID = "invalid"
    """It can't be one: the provider said so, or an administrator."""
    COMPLAINT = "complaint"
    """Whoever is behind it called a message spam."""
    UNSUBSCRIBE = "unsubscribe"
    """They asked for it by the link of a message, or left the official account."""
    OPT_OUT = "opt_out"
    """They asked for it by an answer (退订), or it was entered by hand."""


FOR_ALL = frozenset((Reason.HARD_BOUNCE, Reason.INVALID))
"""Reasons that hold whoever sends whatever; the others may be of one sender or signature, and of one category."""

OF_THEIR_OWN_WILL = frozenset((Reason.COMPLAINT, Reason.UNSUBSCRIBE, Reason.OPT_OUT))
"""Reasons by which people said that they want none: what they said outlives the erasure of their address."""


def erased_field(digest: str) -> str:
    """Name in the mirror, and in the catalog's rows, whoever was erased: by a tombstone's digest, no address."""
    return f"#{digest}"


class Suppression(Wire):
    """What was learned of one address; published straight into the catalog's queue (`Topology.suppressions`).

    The same again changes nothing. One with `lifts` takes away what stands for the address with this reason, sender
    and category: who left comes back, who answered TD answers START.
    """

    v: Literal[1] = 1
    method: str
    address: str
    """In its normal form, as a Recipient has it."""
    reason: Reason
    sender: str | None = None
    """By whose messages: the named sender of a mail, the signature of an SMS, the official account. None: anybody's."""
    category: Category | None = None
    """Of which messages; None: of all."""
    evidence: str = ""
    """The words by which it is known: the server's, the answer's."""
    request: RequestId | None = None
    n: int | None = None
    """The message that it came of, where that is known."""
    until: datetime | None = None
    """When it ends; None: by hand alone."""
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
        """Tell whether a message of this category is kept from the address now; `sender` None: it may be anybody's."""
        if self.until_s is not None and self.until_s <= now_s:
            return False
        is_of = sender is None or self.sender in (None, sender)
        return is_of and self.category in (None, category)


def write_entries(entries: Iterable[Entry]) -> str:
    """Write all of an address as the one value that the mirror holds of it."""
    rows = [[one.reason.value, one.sender, one.category, one.until_s] for one in entries]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def find_reason(value: bytes, sender: str | None, category: str, now_s: float) -> Reason | None:
    """Say by the mirror's value why a message is kept from an address; None where it may go.

    What a later version wrote of reasons that are not known here counts as `opt_out`: rather too little is sent.
    """
    for reason, of, what, until_s, *_ in json.loads(value):
        known = Reason(reason) if reason in set(Reason) else Reason.OPT_OUT
        if Entry(known, of, what, until_s).holds(sender, category, now_s):
            return known
    return None
