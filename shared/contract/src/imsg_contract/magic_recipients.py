"""Magic recipients: addresses that provoke each kind of trouble, in the sandbox and for test keys everywhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

DOMAIN = "example.com"

SLOW_S = 5.0

Stage = Literal["recipient", "message"]
"""When a server answers: after RCPT, or after the final dot."""


@dataclass(frozen=True, slots=True)
class MailTrouble:
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


MAILBOXES: Mapping[str, MailTrouble] = {
    "bounce": MailTrouble(
        "Nobody has this address: refused for good, the message fails.",
        "recipient",
        "550 5.1.1 <{address}>: Recipient address rejected: User unknown in virtual mailbox table",
    ),
    "full": MailTrouble(
        "The mailbox is over its quota: refused for now, tried again until the message expires.",
        "recipient",
        "452 4.2.2 <{address}>: Mailbox is over quota, try again later",
    ),
    "greylist": MailTrouble(
        "The first attempt is refused for now, the second accepted.",
        "recipient",
        "451 4.7.1 <{address}>: Recipient address rejected: Greylisted, please try again",
        once=True,
    ),
    "away": MailTrouble(
        "The first try finds nobody at home, the second, some seconds later, is taken.",
        "recipient",
        "441 4.4.1 <{address}>: No answer from host",
        once=True,
    ),
    "spam": MailTrouble(
        "The content is refused by policy after it was read: the message fails.",
        "message",
        "554 5.7.1 Message rejected as spam by content filter",
    ),
    "slow": MailTrouble(f"Taken, but the server thinks {SLOW_S:g} seconds about it.", "message", wait_s=SLOW_S),
    "unsure": MailTrouble(
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


NOT_CALLED = "Sent by a test key: no provider was called."


@dataclass(frozen=True, slots=True)
class Play:
    """What becomes of a test key's message: no provider is called, and this is what one would have answered."""

    result: Literal["sent", "again", "refused", "unknown"] = "sent"
    code: str = ""
    detail: str = NOT_CALLED
    once: bool = False
    """Only at the first attempt; the next is sent."""
    wait_s: float = 0.0
    report: str | None = None
    """The code of the receipt that follows, DELIVERED or why it failed; None where none comes."""


DELIVERED = "DELIVERED"

REPORTING = frozenset({"smtp", "sms", "wechat"})
"""The methods whose test messages are reported as delivered."""

PLAYS: Mapping[str, Mapping[str, Play]] = {
    "smtp": {f"returned@{DOMAIN}": Play(report="5.1.1")},
    "sms": {},
    "wechat": {
        "TES-T00-01T": Play(report="user block"),
        "TES-T00-02R": Play("refused", "43004", "The follower has left."),
        "TES-T00-03P": Play("again", "-1", "The system is busy.", once=True, report=DELIVERED),
        "TES-T00-04M": Play("unknown", "timeout", "No answer came.", once=True, report=DELIVERED),
    },
    "wecom": {
        "test-removed": Play("refused", "93000", "The robot was removed from its group."),
        "test-busy": Play("again", "45009", "The robot posts too often.", once=True),
        "test-unsure": Play("unknown", "timeout", "No answer came.", once=True),
    },
}
"""Method → recipient → what becomes of a test message to it, beside MAILBOXES and NUMBERS. For
these, those of REFUSALS and SENT_TO, there has to be no follower and no robot."""

SENT_TO: Mapping[str, str] = {"wechat": "TES-T00-00W", "wecom": "test"}
"""Method → a recipient that exists for test keys alone, and is sent to."""

REFUSALS: Mapping[str, Mapping[str, str]] = {
    "smtp": {f"quota@{DOMAIN}": "quota_used_up", f"cap@{DOMAIN}": "recipient_cap"},
    "sms": {
        "+8619900000011": "quota_used_up",
        "+8619900000012": "recipient_cap",
        "+8619900000013": "country_not_allowed",
    },
    "wechat": {"TES-T00-11S": "quota_used_up", "TES-T00-10V": "recipient_cap"},
    "wecom": {"test-quota": "quota_used_up", "test-cap": "recipient_cap"},
}
"""Method → recipient → the reason with which the gateway refuses a test key's request to it."""


def find_play(method: str, address: str) -> Play:
    """Return what becomes of a test message to an address in its normal form."""
    if find_refusal(method, address) == "recipient_cap":
        return Play("refused", "recipient_cap", "A cap of the address is reached.")
    played = PLAYS.get(method, {}).get(address.lower() if method == "smtp" else address)
    if played is not None:
        return played
    if method == "smtp" and (mailbox := find_mailbox(address)) is not None:
        return _play_mailbox(mailbox, address)
    if method == "sms" and (number := NUMBERS.get(address.removeprefix("+86"))) is not None:
        return _play_number(number)
    return Play(report=DELIVERED if method in REPORTING else None)


def find_refusal(method: str, address: str) -> str | None:
    """Return the reason with which a test to an address is refused; None where it is accepted."""
    return REFUSALS.get(method, {}).get(address.lower() if method == "smtp" else address)


def exists_for_tests(method: str, address: str) -> bool:
    """Return whether test keys may send to an address that the channel itself does not have."""
    tables: tuple[Mapping[str, object], ...] = (PLAYS.get(method, {}), REFUSALS.get(method, {}))
    return address == SENT_TO.get(method) or any(address in table for table in tables)


def find_mailbox(address: str) -> MailTrouble | None:
    """Return the trouble of a magic mailbox, such as `bounce@example.com` or `bounce+anything@example.com`."""
    local, _, domain = address.casefold().rpartition("@")
    return MAILBOXES.get(local.partition("+")[0]) if domain == DOMAIN else None


def _play_mailbox(mailbox: MailTrouble, address: str) -> Play:
    if mailbox.cut:
        return Play("unknown", "disconnected", mailbox.what, once=mailbox.once, report=DELIVERED)
    if mailbox.reply is None:
        return Play(wait_s=mailbox.wait_s, report=DELIVERED)
    code, enhanced, text = mailbox.reply.format(address=address).split(" ", 2)
    result: Literal["again", "refused"] = "refused" if code.startswith("5") else "again"
    return Play(result, f"{code} {enhanced}", text, once=mailbox.once, report=DELIVERED)


def _play_number(number: NumberTrouble) -> Play:
    if number.cut:
        return Play("unknown", "disconnected", number.what, once=number.once, report=number.report)
    if number.code is None:
        return Play(wait_s=number.wait_s, report=number.report)
    return Play("again" if number.once else "refused", number.code, number.what, once=number.once, report=number.report)
