"""What an SMTP server's reply means for a message: one table, by enhanced code, by code, by first digit."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeGuard

from imsg_contract.wire import Again, Blocked, Concern, Refused, Result, Unknown

PROVIDER = "smtp"
"""What results, history and logs call this provider."""

MAX_TEXT_CHARACTERS = 500
"""How much of a server's text is kept: a reply may have 32 KiB, and one is kept for every recipient."""

GREYLIST_S = 300.0
"""Greylisting lets a second try pass after 1 to 5 minutes; before that it only starts anew."""

BUSY_S = 60.0
"""How long a server that has no room for us is left alone."""

BLOCK_S = 300.0
"""How long a log-in that was refused is not tried again: each wrong try brings a lock-out nearer."""


class Meaning(Enum):
    """What a refusal can mean for a message."""

    LATER = "this message later"
    NEVER = "this message never"
    BLOCKED = "no message for now, whoever the recipient"


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table; `after_s` is how long the server wants to be left alone."""

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
"""First digit, or code, or code and enhanced code → what it means (RFC 5321, RFC 4954). The longest decides."""

UNKNOWN = Rule(Meaning.LATER)
"""The meaning of a code that no table has, gibberish included."""

STANDARD = frozenset({421, 432, *range(450, 456), *range(500, 505), 521, 530, 534, 535, 538, *range(550, 557)})
"""Codes that RFC 5321 (4.2.3), RFC 4954 and RFC 7504 list."""

TIMEOUT, DISCONNECTED, UNREACHABLE, OUT_OF_STEP, GIBBERISH = TROUBLES = (
    "timeout",
    "disconnected",
    "unreachable",
    "out_of_step",
    "gibberish",
)
"""Our own codes where a server gave no answer, or none that can be read."""

_ENHANCED = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?!\S)")
"""RFC 3463, at the beginning of the text."""

_ENHANCED_IN_BRACKETS = re.compile(r"\(#([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
"""As qmail writes it, at the end: `sorry, no mailbox here by that name (#5.1.1)` (RFC 1893)."""

_QUEUE_ID = re.compile(
    r"queued(?: mail)? (?:as|for delivery as) <?([^\s<>]+)"  # Postfix, aiosmtpd, 163, QQ
    r"|\bid=([^\s;,]+)"  # Exim
    r"|^2\.\d+\.\d+ (\S+) Message accepted for delivery"  # sendmail
    r"|^2\.\d+\.\d+ <([^\s<>]+)> (?:\[InternalId=\S+|Queued mail)",  # Exchange
    re.IGNORECASE,
)


def make_readable(text: str) -> str:
    """Make one line of what a server said, without what nobody can read.

    That is controls, lone surrogates, marks that turn the direction of a line, and letters that Unicode has not given.
    """
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply: its code, and its text fit to be kept (UTF-8, one line, no control characters)."""

    code: int
    text: str

    @classmethod
    def of(cls, code: int, text: str) -> "Reply":
        """Make one of what the library read, where bytes that are not UTF-8 stand as lone surrogates."""
        if text.isascii() and text.isprintable():  # as nearly all are
            return cls(code, text.strip()[:MAX_TEXT_CHARACTERS])
        readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return cls(code, make_readable(readable)[:MAX_TEXT_CHARACTERS])

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code, such as `5.1.1`, where the text begins with one, or has one as qmail writes it."""
        if found := _ENHANCED.match(self.text):
            return found[0]
        found = _ENHANCED_IN_BRACKETS.search(self.text)
        return found[1] if found else None

    @property
    def label(self) -> str:
        """What history calls it: `550 5.1.1`, or `550`; what is no reply of SMTP is called so."""
        if not 200 <= self.code <= 599:  # noqa: PLR2004  the RFC's own numbers
            return GIBBERISH
        return f"{self.code} {self.enhanced}" if self.enhanced else str(self.code)

    @property
    def is_unlisted(self) -> bool:
        """Whether it is a no by a code that no RFC lists, and no enhanced one: its first digit is all it says."""
        return self.is_refusal and self.enhanced is None and self.code not in STANDARD

    @property
    def is_acceptance(self) -> bool:
        """Whether it says yes: the first digit decides (RFC 5321, section 4.2)."""
        return 200 <= self.code <= 299  # noqa: PLR2004  the RFC's own numbers

    @property
    def is_refusal(self) -> bool:
        """Whether it is a no that SMTP knows; what is neither yes nor no is gibberish."""
        return 400 <= self.code <= 599  # noqa: PLR2004

    @property
    def is_farewell(self) -> bool:
        """Whether the server closes the connection after it."""
        return self.code == 421  # noqa: PLR2004


def classify(reply: Reply, scope: str) -> Again | Refused | Blocked:
    """Return the result of a message with this reply. `scope` names the server.

    Where code and enhanced code contradict each other about for ever, the message is tried again: a wrong "never"
    loses it, a wrong "later" costs a try.
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


def classify_before_mail(reply: Reply, scope: str) -> Again | Blocked:
    """Return the result of a refusal before any mail: it is not about a recipient, so a permanent one blocks."""
    result = classify(reply, scope)
    return Blocked(PROVIDER, scope, result.code, result.detail, BLOCK_S) if isinstance(result, Refused) else result


def senseless(reply: Reply) -> str:
    """Name what is neither yes nor no where one of them was due: the answer to something else, or gibberish."""
    return GIBBERISH if reply.label == GIBBERISH else OUT_OF_STEP


def is_trouble(result: Result) -> TypeGuard[Again | Unknown]:
    """Tell whether the server itself failed, and gave no reply about a mail."""
    return isinstance(result, Again | Unknown) and result.code in TROUBLES


def concern_of_server(code: str) -> Concern:
    """Say what a trouble with the server itself concerns: our account where it is of the log-in (RFC 4954)."""
    return "account" if code.startswith("53") else "provider"


def queue_id(reply: Reply) -> str | None:
    """Find the name under which the server keeps what it took, in the wordings of the common servers."""
    found = _QUEUE_ID.search(reply.text)
    return next((name for name in found.groups() if name), None) if found else None


def _rule(reply: Reply) -> Rule:
    if not reply.is_refusal:
        return UNKNOWN
    code = str(reply.code)
    rule = RULES.get(reply.label) or RULES.get(code) or RULES[code[0]]
    if rule.meaning is Meaning.NEVER and (reply.enhanced or "5")[0] == "4":
        return RULES["4"]
    return rule
