"""Magic recipients: addresses that provoke each kind of trouble."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

DOMAIN = "example.com"

SLOW_S = 5.0

Stage = Literal["recipient", "message"]
"""When a server answers: after RCPT, or after the final dot."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to mail for one magic recipient."""

    what: str
    """One sentence for people."""
    stage: Stage
    reply: str | None = None
    """The server's refusal; None where the mail is taken."""
    once: bool = False
    """Only at the first try: the next is taken, and the one after that is a first again."""
    wait_s: float = 0.0
    cut: bool = False
    """The mail is kept, and the connection is cut instead of saying so."""


MAILBOXES: Mapping[str, Trouble] = {
    "bounce": Trouble(
        "Nobody has this address: refused for good, the message fails.",
        "recipient",
        "550 5.1.1 <{address}>: Recipient address rejected: User unknown in virtual mailbox table",
    ),
    "full": Trouble(
        "The mailbox is over its quota: refused for now, tried again until the message expires.",
        "recipient",
        "452 4.2.2 <{address}>: Mailbox is over quota, try again later",
    ),
    "greylist": Trouble(
        "The first attempt is refused for now, the second accepted.",
        "recipient",
        "451 4.7.1 <{address}>: Recipient address rejected: Greylisted, please try again",
        once=True,
    ),
    "away": Trouble(
        "The first try finds nobody at home, the second, some seconds later, is taken.",
        "recipient",
        "441 4.4.1 <{address}>: No answer from host",
        once=True,
    ),
    "spam": Trouble(
        "The content is refused by policy after it was read: the message fails.",
        "message",
        "554 5.7.1 Message rejected as spam by content filter",
    ),
    "slow": Trouble(f"Taken, but the server thinks {SLOW_S:g} seconds about it.", "message", wait_s=SLOW_S),
    "unsure": Trouble(
        "Kept, then the connection is cut before the server says so: the repeat is a countable duplicate.",
        "message",
        once=True,
        cut=True,
    ),
}
"""Local part → trouble, at DOMAIN; `bounce+anything` is one as well, so that a list can hold many."""


@dataclass(frozen=True, slots=True)
class NumberTrouble:
    """What happens to an SMS for one magic number."""

    what: str
    """One sentence for people."""
    code: str | None = None
    """The provider refuses the whole call with it."""
    once: bool = False
    """Only at the first try."""
    report: str | None = "DELIVERED"
    """The code of the receipt; None where none comes."""
    early: bool = False
    """The receipt comes before the answer to the call."""
    cut: bool = False
    """The message is taken, and the connection is cut instead of saying so."""
    wait_s: float = 0.0


NUMBERS: Mapping[str, NumberTrouble] = {
    "19900000001": NumberTrouble(
        "Taken, then reported as not delivered: the phone is out of service.", report="MK:0001"
    ),
    "19900000002": NumberTrouble(
        "Refused for good, and with it the whole call it came in.", code="isv.MOBILE_NUMBER_ILLEGAL"
    ),
    "19900000003": NumberTrouble(
        "The first try meets the limit of a minute, the next is taken.", code="isv.BUSINESS_LIMIT_CONTROL", once=True
    ),
    "19900000004": NumberTrouble(
        "Taken, then the connection is cut before the provider says so: found by asking, and sent once.",
        cut=True,
        once=True,
    ),
    "19900000005": NumberTrouble("The receipt comes before the answer to the call.", early=True),
    "19900000006": NumberTrouble("Taken and delivered, and nobody ever reports it.", report=None),
    "19900000007": NumberTrouble("Taken, then stopped for its words.", report="CONTENT_KEYWORD"),
    "19900000008": NumberTrouble(f"Taken, but the provider thinks {SLOW_S:g} seconds about it.", wait_s=SLOW_S),
}
"""Mainland number → trouble."""


class MagicMailboxes:
    """The magic mailboxes, and which of them were refused once."""

    def __init__(self) -> None:
        self._tried: set[str] = set()

    def find(self, address: str, stage: Stage) -> Trouble | None:
        """Return what happens to this recipient at this stage; None where nothing does."""
        local, _, domain = address.casefold().rpartition("@")
        if domain != DOMAIN:
            return None
        trouble = MAILBOXES.get(local.partition("+")[0])
        if trouble is None or trouble.stage != stage:
            return None
        if trouble.once and address in self._tried:
            self._tried.discard(address)
            return None
        if trouble.once:
            self._tried.add(address)
        return trouble


def explain() -> dict[str, str]:
    """Return address → what happens to messages for it."""
    mails = {f"{local}@{DOMAIN}": trouble.what for local, trouble in MAILBOXES.items()}
    return mails | {number: trouble.what for number, trouble in NUMBERS.items()}
