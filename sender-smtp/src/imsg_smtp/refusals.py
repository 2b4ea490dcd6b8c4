"""What a refusal concerns: one table, by the stage at which it came and by its words; each line with its source.

The code alone is not enough. A wrong sender, a missing SPF record and an unknown mailbox may all be a 550: the first
two are not about the recipient, and a whole list would fail for them. Some providers reply 550 to mean "slower".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from imsg_contract.addresses import domain_of
from imsg_contract.wire import Again, Blocked, Concern, Refused
from imsg_smtp.replies import BLOCK_S, PROVIDER, Meaning, Reply, classify
from imsg_smtp.unknown_users import names_unknown_user

LATER, NEVER, BLOCKED = Meaning.LATER, Meaning.NEVER, Meaning.BLOCKED

MINUTES_S = 600.0
"""How long a provider that counts by the minute is left alone: QQ and NetEase keep their windows to themselves."""

WINDOW_S = 900.0
"""NetEase's window: a quarter of an hour (451 MI:SFQ)."""

DAILY_S = 3_600.0
"""How long until a quota of the day is tried again: nobody says when the day ends there."""


class Stage(Enum):
    """Where in a transaction an answer came."""

    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    """The command DATA, or the body and its final dot."""


class About(Enum):
    """What a reply concerns, from the widest to the narrowest."""

    SERVER = "all we hand in to this server"
    SENDER = "all mail of this sender by this server"
    DOMAIN = "mail of this sender's domain to the recipient's domain by this server"
    RECIPIENT = "this recipient"
    MESSAGE = "this message"


CONCERNS: Mapping[About, Concern] = {
    About.SERVER: "account",
    About.SENDER: "sender",
    About.DOMAIN: "domain",
    About.RECIPIENT: "recipient",
    About.MESSAGE: "content",
}
"""The same in the words of all channels."""

BY_STAGE: Mapping[Stage, Concern] = {Stage.MAIL: "sender", Stage.RCPT: "recipient", Stage.DATA: "content"}
"""What a refusal concerns that no line of the table knows."""


@dataclass(frozen=True, slots=True)
class Throttled(Again):
    """An Again that asks for less mail, and not only for patience."""

    about: About = About.DOMAIN


class Unspecific(Blocked):
    """A refusal for lack of permission that does not say whose: the sender's, the recipient's or the message's."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """The names of what a refusal of one mail can block: the whole server, the sender, or its domain at another."""

    server: str
    sender: str
    domain: str

    @classmethod
    def of(cls, server: str, sender: str, recipient: str) -> "Scopes":
        """Name the scopes of a mail between two addresses by a server."""
        domains = f"{domain_of(sender)} to {domain_of(recipient)}"
        return cls(server, f"{server} from {sender}", f"{server} from {domains}")

    @property
    def narrow(self) -> Mapping[Concern, str]:
        """Those that are narrower than the server, by what they concern."""
        return {"sender": self.sender, "domain": self.domain}

    def find(self, about: About) -> str:
        """Return the scope that an answer about this blocks."""
        match about:
            case About.SENDER:
                return self.sender
            case About.DOMAIN:
                return self.domain
        return self.server


class Says(Protocol):
    """What is looked for in an answer: a pattern, as a rule."""

    def search(self, reply_text: str, /) -> object:
        """Tell whether `550 5.1.1 the text` has it."""


class _NamesUnknownUser:
    """The phrases of `unknown_users`, in a no that is for good."""

    def search(self, reply_text: str, /) -> bool:
        """Tell whether it has one."""
        is_permanent = reply_text.startswith("5") and not reply_text[4:].startswith("4.") and "(#4." not in reply_text
        return is_permanent and names_unknown_user(reply_text[4:])


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table; `says` is looked for in `550 5.1.1 the text`, whatever the letters' case."""

    meaning: Meaning
    about: About
    says: Says
    source: str
    after_s: float = 0.0
    stages: frozenset[Stage] = frozenset(Stage)


_BODY = frozenset({Stage.DATA})
_BEFORE_MAIL_WAS_TAKEN = frozenset({Stage.MAIL})
_AFTER_MAIL_WAS_TAKEN = frozenset({Stage.RCPT, Stage.DATA})


def _says(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


LINES: tuple[Line, ...] = (
    # Throttling, some of it by a 5xx: never a recipient's fault.
    Line(LATER, About.DOMAIN, _says(r"\bHL:(ICC|IFC|REP)\b"), "NetEase's list of returns, 421 and 554", WINDOW_S),
    Line(LATER, About.DOMAIN, _says(r"\b(MI:DMC|RP:DRC)\b"), "NetEase's list of returns, 450", MINUTES_S),
    Line(LATER, About.DOMAIN, _says(r"\b(MI:SFQ|RP:QRC)\b"), "NetEase's list of returns, 451", WINDOW_S),
    Line(LATER, About.DOMAIN, _says(r"\b(MI:STC|RP:TRC|HL:ITC)\b"), "NetEase's list of returns, 550, 554", DAILY_S),
    Line(LATER, About.MESSAGE, _says(r"^4.*\bDT:SPM\b"), "NetEase's list of returns, 451: after 2 minutes", 120.0),
    Line(
        LATER,
        About.DOMAIN,
        _says(r"\b(domain|sender|connection|ip) frequency limited"),
        "QQ's returns, 550 (qiao.yimirj.com/article/detail/2261); unverified today",
        MINUTES_S,
    ),
    Line(
        LATER,
        About.RECIPIENT,
        _says(r"mailbox unavailable or access denied"),
        "QQ's returns, 550: this mailbox gets too much (smtp.codes/qq)",
        MINUTES_S,
    ),
    Line(
        LATER,
        About.RECIPIENT,
        _says(r"^\d+ [45]\.2\.1\b.*(too quickly|at a rate)"),
        "Gmail's SMTP errors, 450 and 550 4.2.1 (support.google.com/a/answer/3726730)",
        MINUTES_S,
    ),
    Line(
        LATER,
        About.DOMAIN,
        _says(r"\b[45]\.7\.28\b|unusual rate of"),
        "Gmail's SMTP errors, 421 and 550 5.7.28 (support.google.com/a/answer/3726730)",
        MINUTES_S,
    ),
    Line(
        LATER, About.DOMAIN, _says(r"\bTSS04\b|too many (messages|connections)"), "Yahoo's 421, Postfix's anvil", 300.0
    ),
    # An account that has sent all it may: everybody's mail waits, no attempt is used up.
    Line(
        BLOCKED,
        About.SENDER,
        _says(r"^5(?=.*(sending|messages) (limit|quota)\b)(?=.*(exceeded|reached))"),
        "Gmail's 550 5.4.5 (support.google.com/a/answer/3726730); relays' quotas",
        DAILY_S,
    ),
    Line(
        BLOCKED,
        About.SENDER,
        _says(r"RCPTs? (attempts )?is achieved the maximum threshold|reject by behaviou?r spam"),
        "Alibaba Mail's returns, 504, 505, 554 (document 36612)",
        DAILY_S,
    ),
    # Our address.
    Line(
        BLOCKED,
        About.SENDER,
        _says(r"mail from .{0,20}(must|should) (equal|be (the )?same as) auth"),
        "NetEase's 553, QQ's 501, at MAIL or later",
        BLOCK_S,
    ),
    Line(
        BLOCKED,
        About.SENDER,
        _says(r"^(5|440 ).*(mail from account doesn't conform|isn't allowed to send|non-local account)"),
        "Alibaba Mail's returns, 440, 501, 541 (document 36612)",
        BLOCK_S,
    ),
    Line(
        BLOCKED,
        About.SENDER,
        _says(r"^5.*(sender address rejected|not owned by user|\b5\.1\.[78]\b)"),
        "Postfix, which says it at RCPT by default (smtpd_delay_reject); RFC 3463, 3.2",
        BLOCK_S,
    ),
    Line(
        BLOCKED,
        About.SENDER,
        _says(r"^5.*(send ?as ?denied|permissions? to send as|\b5\.7\.60\b)"),
        "Exchange's non-delivery codes 5.2.252, 5.7.60",
        BLOCK_S,
    ),
    Line(
        BLOCKED,
        About.SENDER,
        _says(r"^5.*(sender (is )?(rejected|denied|unvalidated|invalid)|denies the sender|mail from invalid)"),
        "Coremail's returns",
        BLOCK_S,
    ),
    Line(BLOCKED, About.SENDER, _says(r"^5.*\b(MI:IMF|DT:SUM)\b"), "NetEase's list of returns, 550, 554", BLOCK_S),
    # Our authentication, as the receiver's domain sees it.
    Line(BLOCKED, About.DOMAIN, _says(r"^5.*\b(MI:SPF|MI:DMA)\b"), "NetEase's list of returns, 550", BLOCK_S),
    Line(
        BLOCKED,
        About.DOMAIN,
        _says(r"^5.*(\b5\.7\.(2[0-7]|30|32|509|515)\b|\b(spf|dkim|dmarc)\b|unauthenticated)"),
        "RFC 7372; Gmail's SMTP errors; Outlook.com's 550 5.7.515; QQ's DMARC check failed",
        BLOCK_S,
        _AFTER_MAIL_WAS_TAKEN,
    ),
    Line(
        BLOCKED,
        About.DOMAIN,
        _says(r"^5.*(reverse dns|\bptr\b|suspected spam (ip|sender|domain)|connection denied|ip denied)"),
        "Gmail's 550 5.7.25; QQ's returns (smtp.codes/qq)",
        BLOCK_S,
    ),
    # The recipient's own will.
    Line(
        NEVER,
        About.RECIPIENT,
        _says(r"^5.*(rejected by recipients?\b|recipient'?s (personal )?black|user in blacklist)"),
        "QQ's returns (smtp.codes/qq), Coremail's",
    ),
    Line(
        NEVER,
        About.RECIPIENT,
        _says(r"^5.*(\b5\.7\.(124|13[0-6])\b|RESOLVER\.RST|recipient address rejected|isn't allowed to receive)"),
        "Exchange's non-delivery codes 5.7.124 to 5.7.136; Postfix; Alibaba Mail's 542",
    ),
    Line(
        NEVER,
        About.RECIPIENT,
        _NamesUnknownUser(),
        "unknown_users, where each phrase has its source",
        0.0,
        _AFTER_MAIL_WAS_TAKEN,
    ),
    # Our host.
    Line(
        BLOCKED,
        About.SERVER,
        _says(r"^5[^;]*(service unavailable; )?client host .*(rejected|blocked)|^5.*(banned sending ip|black ip\b)"),
        "Postfix's reject_rbl_client and check_client_access; Exchange Online's 5.7.606; Coremail's 550",
        BLOCK_S,
    ),
    Line(
        BLOCKED,
        About.DOMAIN,
        _says(
            r"^5.*(relay(ing)? (access )?(is )?(denied|not (permitted|allowed)|prohibited)|not allowed relay|to relay)"
        ),
        "Postfix's 554 5.7.1, Exchange's 550 5.7.54, 5.7.64",
        BLOCK_S,
    ),
    # One message, refused after the server saw it: others of its sender may pass, whatever list or policy is named.
    Line(
        NEVER,
        About.MESSAGE,
        _says(
            r"^5.*(\bunsolicited\b|\b(bulk|junk) (e-?)?mail|\bas (bulk|junk)\b|\bu[cb]e\b|suspicious"
            r"|\b(url|link)s?\b|\bpolicy\b(?! framework)|\b(this|your|the) (e-?mail|message|mail)\b(?! server)"
            r"|\b(message|mail) (is |was |has been )?(blocked|denied|reject|refused))"
        ),
        "Gmail's SMTP errors, 550 5.7.1 (support.google.com/a/answer/3726730); Exchange, rspamd, Proofpoint",
        0.0,
        _BODY,
    ),
    Line(
        BLOCKED,
        About.DOMAIN,
        _says(r"^5.*(blocked using|black ?list|block ?list|spamhaus|\brbl\b)"),
        "block lists, as a relay hands on what the receiver said",
        BLOCK_S,
    ),
    # What the mail is.
    Line(
        NEVER,
        About.MESSAGE,
        _says(
            r"^5.*(\b5\.3\.4\b|\b5\.2\.3\b|message (size|is )?(too (large|big|long)|exceeds)|size (exceeds|limit)"
            r"|exceeded mailsize|length of (data|attach)|attachment is too long)"
        ),
        "RFC 3463, 3.3 and 3.4; RFC 1870, 6.1; Coremail's, Alibaba Mail's 510",
    ),
    Line(NEVER, About.MESSAGE, _says(r"^552 (?!5\.2\.2)"), "RFC 1870, 6.1: SIZE at MAIL", 0.0, _BEFORE_MAIL_WAS_TAKEN),
    Line(NEVER, About.RECIPIENT, _says(r"^5.*(\b5\.6\.7\b|smtputf8)"), "RFC 6531, 3.5"),
    Line(
        NEVER,
        About.MESSAGE,
        _says(r"^5.*(\bDT:SPM\b|\bspam|virus|malware|phish|gtube|content|\b5\.6\.\d\b|attachment|security issue)"),
        "NetEase's 550, QQ's 550 Mail content denied, Alibaba Mail's 551, 554; rspamd, amavis; Gmail's 552 5.7.0",
        0.0,
        _BODY,
    ),
    # Ours to mend: a sequence the server did not expect.
    Line(LATER, About.SERVER, _says(r"^503 "), "RFC 5321, 4.2.4: a sequence of commands it did not expect"),
)
"""The first line that fits decides; what none fits is judged by `judge` from stage and code."""

_BRACKETED = re.compile(r"<[^<>]*>")
_WORD = re.compile(r"[!-~]+")

UNSPECIFIC = _says(r"^5\d\d 5\.7\.\d{1,3}\b")
"""RFC 3463, 3.8: not authorised. Whose fault it is decides whether other mail of that sender gets there."""


def judge(reply: Reply, scopes: Scopes, stage: Stage) -> Again | Refused | Blocked:
    """Return the result of a mail that was refused at a stage.

    A refusal that is not about a recipient or a message fails no message; at MAIL it is about the sender.
    """
    reply_text = f"{reply.code} {_hide_addresses(reply.text)}"
    text = reply.text or "The server gave no reason."
    unlisted = f" (an unlisted code, judged by its first digit: {reply.code})" if reply.is_unlisted else ""
    for line in LINES:
        if stage in line.stages and line.says.search(reply_text):
            return _result(line, reply.label, text, scopes)
    result = classify(reply, scopes.server)
    if isinstance(result, Refused) and stage is Stage.MAIL:
        return Blocked(PROVIDER, scopes.sender, reply.label, text + unlisted, BLOCK_S, "sender")
    if isinstance(result, Refused) and UNSPECIFIC.match(reply_text):
        return Unspecific(PROVIDER, scopes.domain, reply.label, text, BLOCK_S, "domain")
    concerns: Concern = "account" if isinstance(result, Blocked) else BY_STAGE[stage]
    return replace(result, detail=result.detail + unlisted, concerns=concerns)


def _hide_addresses(text: str) -> str:
    """Remove addresses before matching: one may be spam@ or dmarc@."""
    return _WORD.sub(lambda word: "<>" if "@" in word[0] else word[0], _BRACKETED.sub("<>", text))


def _result(line: Line, label: str, text: str, scopes: Scopes) -> Again | Refused | Blocked:
    concerns = CONCERNS[line.about]
    match line.meaning:
        case Meaning.LATER:
            if line.after_s:
                is_paced = line.about is About.DOMAIN  # `domains` waits until the domain takes more
                return Throttled(PROVIDER, label, text, line.after_s, concerns, is_paced=is_paced, about=line.about)
            return Again(PROVIDER, label, text, concerns=concerns)
        case Meaning.NEVER:
            return Refused(PROVIDER, label, text, concerns)
        case Meaning.BLOCKED:
            # A quota is full for a day, and a 4xx says that it will be otherwise.
            passes = line.after_s >= DAILY_S or label.startswith("4")
            return Blocked(PROVIDER, scopes.find(line.about), label, text, line.after_s, concerns, passes)
