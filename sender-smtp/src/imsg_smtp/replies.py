"""The meaning of an SMTP reply for a message: one table, by code and enhanced code, by code, by first digit."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeGuard

from imsg_contract.results import Again, Blocked, Concern, Refused, Result, Unknown

PROVIDER = "smtp"
"""The provider's name in results, history and logs."""

MAX_TEXT_CHARACTERS = 500
"""How much of a server's text is kept: a reply may have 32 KiB, and each recipient's is stored."""

GREYLIST_S = 300.0
"""The pause after a possible greylisting, which accepts a second try after 1 to 5 minutes, and no earlier one."""

BUSY_S = 60.0
"""The pause after a server had no capacity."""

BLOCK_S = 300.0
"""The pause after a refused log-in: repeated wrong log-ins lock the account."""


class Meaning(Enum):
    """The meaning of a refusal for a message."""

    LATER = "try this message again"
    NEVER = "this message fails"
    BLOCKED = "no message to any recipient is accepted now"


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table; `after_s` is the pause before the next try."""

    meaning: Meaning
    after_s: float = 0.0


RULES: Mapping[str, Rule] = {
    "4": Rule(Meaning.LATER),
    "5": Rule(Meaning.NEVER),
    "421": Rule(Meaning.LATER, BUSY_S),  # closing: RFC 5321, section 3.8
    "432": Rule(Meaning.BLOCKED, BLOCK_S),  # the password has to be changed: RFC 4954, section 4.7.12
    "450": Rule(Meaning.LATER, GREYLIST_S),
    "451": Rule(Meaning.LATER, GREYLIST_S),
    "452": Rule(Meaning.LATER, BUSY_S),  # no storage, or too many recipients
    "454": Rule(Meaning.LATER, BUSY_S),  # Postfix defers a recipient it does not relay to with 454 4.7.1
    "454 4.7.0": Rule(Meaning.BLOCKED, BLOCK_S),  # log-in or TLS not available, too many log-ins: RFC 4954, RFC 3207
    "530": Rule(Meaning.BLOCKED, BLOCK_S),  # wants a log-in, or TLS first
    "534": Rule(Meaning.BLOCKED, BLOCK_S),  # mechanism too weak, or an app password wanted
    "535": Rule(Meaning.BLOCKED, BLOCK_S),  # wrong name or password
    "538": Rule(Meaning.BLOCKED, BLOCK_S),  # wants encryption for this log-in
}
"""First digit, or code, or code and enhanced code → rule (RFC 5321, RFC 4954). The longest key decides."""

UNKNOWN = Rule(Meaning.LATER)
"""The rule for a reply that is no refusal."""

STANDARD = frozenset({421, 432, *range(450, 456), *range(500, 505), 521, 530, 534, 535, 538, *range(550, 557)})
"""Codes that RFC 5321 (4.2.3), RFC 4954 and RFC 7504 list."""

TIMEOUT, DISCONNECTED, UNREACHABLE, OUT_OF_STEP, GIBBERISH = SERVER_FAILURES = (
    "timeout",
    "disconnected",
    "unreachable",
    "out_of_step",
    "gibberish",
)
"""The codes of iMSG where a server gave no reply, or an unreadable one."""

_ENHANCED = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?!\S)")
"""RFC 3463, at the beginning of the text."""

_ENHANCED_IN_BRACKETS = re.compile(r"\(#([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
"""qmail's form, at the end of the text: `sorry, no mailbox here by that name (#5.1.1)` (RFC 1893)."""

_QUEUE_ID = re.compile(
    r"queued(?: mail)? (?:as|for delivery as) <?([^\s<>]+)"  # Postfix, aiosmtpd, 163, QQ
    r"|\bid=([^\s;,]+)"  # Exim
    r"|^2\.\d+\.\d+ (\S+) Message accepted for delivery"  # sendmail
    r"|^2\.\d+\.\d+ <([^\s<>]+)> (?:\[InternalId=\S+|Queued mail)",  # Exchange
    re.IGNORECASE,
)


def make_readable(text: str) -> str:
    """Return a server's text as one line of printable characters.

    Control characters, lone surrogates, direction marks and unassigned code points become spaces.
    """
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply: its code, and its text as one printable line of at most MAX_TEXT_CHARACTERS."""

    code: int
    text: str

    @classmethod
    def of(cls, code: int, text: str) -> "Reply":
        """Make a reply of decoded text, with lone surrogates for bytes that are not UTF-8."""
        if text.isascii() and text.isprintable():  # the usual case, and cheaper
            return cls(code, text.strip()[:MAX_TEXT_CHARACTERS])
        readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return cls(code, make_readable(readable)[:MAX_TEXT_CHARACTERS])

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code, such as `5.1.1`, at the beginning of the text, or in qmail's form at its end."""
        if match := _ENHANCED.match(self.text):
            return match[0]
        match = _ENHANCED_IN_BRACKETS.search(self.text)
        return match[1] if match else None

    @property
    def label(self) -> str:
        """The code for history: `550 5.1.1`, or `550`; `gibberish` where the code is not one of SMTP."""
        if not 200 <= self.code <= 599:  # noqa: PLR2004  the RFC's own numbers
            return GIBBERISH
        return f"{self.code} {self.enhanced}" if self.enhanced else str(self.code)

    @property
    def is_unlisted(self) -> bool:
        """Whether it is a refusal by a code of no RFC and without an enhanced code: only the first digit counts."""
        return self.is_refusal and self.enhanced is None and self.code not in STANDARD

    @property
    def is_positive(self) -> bool:
        """Whether the reply is positive (2xx; RFC 5321, section 4.2)."""
        return 200 <= self.code <= 299  # noqa: PLR2004  the RFC's own numbers

    @property
    def is_refusal(self) -> bool:
        """Whether the reply is negative (4xx, 5xx)."""
        return 400 <= self.code <= 599  # noqa: PLR2004

    @property
    def closes_connection(self) -> bool:
        """Whether the server closes the connection after it."""
        return self.code == 421  # noqa: PLR2004


def classify(reply: Reply, scope: str) -> Again | Refused | Blocked:
    """Return the result of a message with this reply. `scope` names the server.

    Where code and enhanced code disagree on whether the refusal is permanent, the message is tried again: a wrong
    "permanent" loses it, a wrong "temporary" costs a try.
    """
    rule = _rule(reply)
    text = reply.text or "The server gave no reason."
    match rule.meaning:
        case Meaning.LATER:
            return Again(PROVIDER, reply.label, text, rule.after_s)
        case Meaning.NEVER:
            return Refused(PROVIDER, reply.label, text)
        case Meaning.BLOCKED:
            return Blocked(PROVIDER, scope, reply.label, text, rule.after_s, passes=reply.label.startswith("4"))


def unexpected_code(reply: Reply) -> str:
    """Return the code for a reply that is neither positive nor negative: `out_of_step`, or `gibberish`."""
    return GIBBERISH if reply.label == GIBBERISH else OUT_OF_STEP


def is_server_failure(result: Result) -> TypeGuard[Again | Unknown]:
    """Return whether the server itself failed, and gave no reply about a mail."""
    return isinstance(result, Again | Unknown) and result.code in SERVER_FAILURES


def concern_of_server(code: str) -> Concern:
    """Return the concern of a failure of the server: `account` for a refused log-in (53x; RFC 4954) or token.

    Microsoft refuses a token also by 430, where the mailbox does not let the application in.
    """
    is_of_account = code.startswith(("53", "430", "oauth_")) and code != "oauth_unreachable"
    return "account" if is_of_account else "provider"


def find_queue_id(reply: Reply) -> str | None:
    """Return the server's queue id of an accepted mail, in the wordings of the common servers; None without one."""
    match = _QUEUE_ID.search(reply.text)
    return next((name for name in match.groups() if name), None) if match else None


def _rule(reply: Reply) -> Rule:
    if not reply.is_refusal:
        return UNKNOWN
    code = str(reply.code)
    rule = RULES.get(reply.label) or RULES.get(code) or RULES[code[0]]
    if rule.meaning is Meaning.NEVER and (reply.enhanced or "5")[0] == "4":
        return RULES["4"]
    return rule
