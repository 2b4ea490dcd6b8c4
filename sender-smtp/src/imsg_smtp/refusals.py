"""Classifies refusals by one table of rules: each has a pattern for the reply, the stages, and its source.

The code alone is not enough. A wrong sender, a missing SPF record and an unknown mailbox may all be a 550: the first
two are not about the recipient, and a whole list would fail for them. Some providers reply 550 to mean "slower".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from imsg_contract.results import Again, Blocked, Concern, Refused
from imsg_smtp.replies import BLOCK_S, PROVIDER, Meaning, Reply, classify
from imsg_smtp.unknown_users import names_unknown_user

LATER, NEVER, BLOCKED = Meaning.LATER, Meaning.NEVER, Meaning.BLOCKED

MINUTES_S = 600.0
"""The pause after a provider's limit by the minute: QQ and NetEase do not publish their periods."""

WINDOW_S = 900.0
"""NetEase's period: a quarter of an hour (451 MI:SFQ)."""

DAILY_S = 3_600.0
"""The pause after a daily quota: providers do not document when their day ends."""


class Stage(Enum):
    """The command that a reply answers."""

    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    """The command DATA, or the body and its final dot."""


class Extent(Enum):
    """Which mail a reply concerns, from the widest to the narrowest."""

    SERVER = "all mail by this server"
    SENDER = "all mail of this sender by this server"
    DOMAIN = "mail of this sender's domain to the recipient's domain by this server"
    RECIPIENT = "this recipient"
    MESSAGE = "this message"


CONCERNS: Mapping[Extent, Concern] = {
    Extent.SERVER: "account",
    Extent.SENDER: "sender",
    Extent.DOMAIN: "domain",
    Extent.RECIPIENT: "recipient",
    Extent.MESSAGE: "content",
}
"""The concern of a result for each extent."""

BY_STAGE: Mapping[Stage, Concern] = {Stage.MAIL: "sender", Stage.RCPT: "recipient", Stage.DATA: "content"}
"""The concern of a refusal that no rule matches."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes that a refusal of one mail can block: the server, the sender, or a pair of domains."""

    server: str
    sender: str
    domains: str
    """The sender's and the recipient's: `example.com to qq.com`."""

    def find(self, extent: Extent) -> str:
        """Return the scope that a reply of this extent blocks."""
        match extent:
            case Extent.SENDER:
                return f"{self.server} from {self.sender}"
            case Extent.DOMAIN:
                return f"{self.server} from {self.domains}"
        return self.server


class SupportsSearch(Protocol):
    """A pattern for replies: a compiled regular expression, or a class with the same method."""

    def search(self, reply_text: str, /) -> object:
        """Return a true value where a reply such as `550 5.1.1 the text` matches."""


class _NamesUnknownUser:
    """Matches permanent refusals with a phrase of `unknown_users`."""

    def search(self, reply_text: str, /) -> bool:
        """Return whether a reply matches."""
        is_permanent = reply_text.startswith("5") and not reply_text[4:].startswith("4.") and "(#4." not in reply_text
        return is_permanent and names_unknown_user(reply_text[4:])


@dataclass(frozen=True, slots=True)
class RefusalRule:
    """A row of the table; `pattern` is searched for in `550 5.1.1 the text`, in any case of letters."""

    meaning: Meaning
    extent: Extent
    pattern: SupportsSearch
    source: str
    after_s: float = 0.0
    stages: frozenset[Stage] = frozenset(Stage)


_AT_DATA = frozenset({Stage.DATA})
_AT_MAIL = frozenset({Stage.MAIL})
_AFTER_MAIL = frozenset({Stage.RCPT, Stage.DATA})


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


REFUSAL_RULES: tuple[RefusalRule, ...] = (
    # Throttling, some of it by a 5xx: never a recipient's fault.
    RefusalRule(
        LATER, Extent.DOMAIN, _compile(r"\bHL:(ICC|IFC|REP)\b"), "NetEase's list of returns, 421 and 554", WINDOW_S
    ),
    RefusalRule(LATER, Extent.DOMAIN, _compile(r"\b(MI:DMC|RP:DRC)\b"), "NetEase's list of returns, 450", MINUTES_S),
    RefusalRule(LATER, Extent.DOMAIN, _compile(r"\b(MI:SFQ|RP:QRC)\b"), "NetEase's list of returns, 451", WINDOW_S),
    RefusalRule(
        LATER, Extent.DOMAIN, _compile(r"\b(MI:STC|RP:TRC|HL:ITC)\b"), "NetEase's list of returns, 550, 554", DAILY_S
    ),
    RefusalRule(
        LATER, Extent.MESSAGE, _compile(r"^4.*\bDT:SPM\b"), "NetEase's list of returns, 451: after 2 minutes", 120.0
    ),
    RefusalRule(
        LATER,
        Extent.DOMAIN,
        _compile(r"\b(domain|sender|connection|ip) frequency limited"),
        "QQ's returns, 550 (qiao.yimirj.com/article/detail/2261); unverified today",
        MINUTES_S,
    ),
    RefusalRule(
        LATER,
        Extent.RECIPIENT,
        _compile(r"mailbox unavailable or access denied"),
        "QQ's returns, 550: this mailbox gets too much (smtp.codes/qq)",
        MINUTES_S,
    ),
    RefusalRule(
        LATER,
        Extent.RECIPIENT,
        _compile(r"^\d+ [45]\.2\.1\b.*(too quickly|at a rate)"),
        "Gmail's SMTP errors, 450 and 550 4.2.1 (support.google.com/a/answer/3726730)",
        MINUTES_S,
    ),
    RefusalRule(
        LATER,
        Extent.DOMAIN,
        _compile(r"\b[45]\.7\.28\b|unusual rate of"),
        "Gmail's SMTP errors, 421 and 550 5.7.28 (support.google.com/a/answer/3726730)",
        MINUTES_S,
    ),
    RefusalRule(
        LATER,
        Extent.DOMAIN,
        _compile(r"^4.*(\[TSS?\d\d\]|temporarily deferred)|too many (messages|connections)"),
        "Yahoo's 421 (senders.yahooinc.com/smtp-error-codes), Postfix's anvil",
        300.0,
    ),
    RefusalRule(
        LATER,
        Extent.DOMAIN,
        _compile(r"^4.*(\bRP-00\d\b|\b4\.7\.(5\d\d|65[0-2])\b|server busy|\brate[ -]?limit)"),
        "Outlook.com's 421, Exchange Online's 451 (postmaster.live.com, Troubleshooting)",
        300.0,
    ),
    # The account's quota is used up: all mail of the sender waits, and no attempt is counted.
    RefusalRule(
        BLOCKED,
        Extent.SENDER,
        _compile(r"^5(?=.*(sending|messages) (limit|quota)\b)(?=.*(exceeded|reached))"),
        "Gmail's 550 5.4.5 (support.google.com/a/answer/3726730); relays' quotas",
        DAILY_S,
    ),
    RefusalRule(
        BLOCKED,
        Extent.SENDER,
        _compile(r"RCPTs? (attempts )?is achieved the maximum threshold|reject by behaviou?r spam"),
        "Alibaba Mail's returns, 504, 505, 554 (document 36612)",
        DAILY_S,
    ),
    # The sender's address.
    RefusalRule(
        BLOCKED,
        Extent.SENDER,
        _compile(r"mail from .{0,20}(must|should) (equal|be (the )?same as) auth"),
        "NetEase's 553, QQ's 501, at MAIL or later",
        BLOCK_S,
    ),
    RefusalRule(
        BLOCKED,
        Extent.SENDER,
        _compile(r"^(5|440 ).*(mail from account doesn't conform|isn't allowed to send|non-local account)"),
        "Alibaba Mail's returns, 440, 501, 541 (document 36612)",
        BLOCK_S,
    ),
    RefusalRule(
        BLOCKED,
        Extent.SENDER,
        _compile(r"^5.*(sender address rejected|not owned by user|\b5\.1\.[78]\b)"),
        "Postfix, which says it at RCPT by default (smtpd_delay_reject); RFC 3463, 3.2",
        BLOCK_S,
    ),
    RefusalRule(
        BLOCKED,
        Extent.SENDER,
        _compile(r"^5.*(send ?as ?denied|permissions? to send as|\b5\.7\.60\b)"),
        "Exchange's non-delivery codes 5.2.252, 5.7.60",
        BLOCK_S,
    ),
    RefusalRule(
        BLOCKED,
        Extent.SENDER,
        _compile(r"^5.*(sender (is )?(rejected|denied|unvalidated|invalid)|denies the sender|mail from invalid)"),
        "Coremail's returns",
        BLOCK_S,
    ),
    RefusalRule(
        BLOCKED, Extent.SENDER, _compile(r"^5.*\b(MI:IMF|DT:SUM)\b"), "NetEase's list of returns, 550, 554", BLOCK_S
    ),
    # The sender's authentication (SPF, DKIM, DMARC, PTR) at the recipient's domain.
    RefusalRule(
        BLOCKED, Extent.DOMAIN, _compile(r"^5.*\b(MI:SPF|MI:DMA)\b"), "NetEase's list of returns, 550", BLOCK_S
    ),
    RefusalRule(
        BLOCKED,
        Extent.DOMAIN,
        _compile(r"^5.*(\b5\.7\.(2[0-7]|30|32|509|515)\b|\b(spf|dkim|dmarc)\b|unauthenticated)"),
        "RFC 7372; Gmail's SMTP errors; Outlook.com's 550 5.7.515; QQ's DMARC check failed",
        BLOCK_S,
        _AFTER_MAIL,
    ),
    RefusalRule(
        BLOCKED,
        Extent.DOMAIN,
        _compile(r"^5.*(reverse dns|\bptr\b|suspected spam (ip|sender|domain)|connection denied|ip denied)"),
        "Gmail's 550 5.7.25; QQ's returns (smtp.codes/qq)",
        BLOCK_S,
    ),
    # The recipient: rejected by a personal rule, or unknown.
    RefusalRule(
        NEVER,
        Extent.RECIPIENT,
        _compile(r"^5.*(rejected by recipients?\b|recipient'?s (personal )?black|user in blacklist)"),
        "QQ's returns (smtp.codes/qq), Coremail's",
    ),
    RefusalRule(
        NEVER,
        Extent.RECIPIENT,
        _compile(r"^5.*(\b5\.7\.(124|13[0-6])\b|RESOLVER\.RST|recipient address rejected|isn't allowed to receive)"),
        "Exchange's non-delivery codes 5.7.124 to 5.7.136; Postfix; Alibaba Mail's 542",
    ),
    RefusalRule(
        NEVER,
        Extent.RECIPIENT,
        _NamesUnknownUser(),
        "unknown_users, where each phrase has its source",
        0.0,
        _AFTER_MAIL,
    ),
    # The sending host.
    RefusalRule(
        BLOCKED,
        Extent.SERVER,
        _compile(r"^5[^;]*(service unavailable; )?client host .*(rejected|blocked)|^5.*(banned sending ip|black ip\b)"),
        "Postfix's reject_rbl_client and check_client_access; Exchange Online's 5.7.606; Coremail's 550",
        BLOCK_S,
    ),
    RefusalRule(
        BLOCKED,
        Extent.DOMAIN,
        _compile(
            r"^5.*(relay(ing)? (access )?(is )?(denied|not (permitted|allowed)|prohibited)|not allowed relay|to relay)"
        ),
        "Postfix's 554 5.7.1, Exchange's 550 5.7.54, 5.7.64",
        BLOCK_S,
    ),
    # The content of one message, refused after DATA: other mail of the sender may pass, whatever policy is named.
    RefusalRule(
        NEVER,
        Extent.MESSAGE,
        _compile(
            r"^5.*(\bunsolicited\b|\b(bulk|junk) (e-?)?mail|\bas (bulk|junk)\b|\bu[cb]e\b|suspicious"
            r"|\b(url|link)s?\b|\bpolicy\b(?! framework)|\b(this|your|the) (e-?mail|message|mail)\b(?! server)"
            r"|\b(message|mail) (is |was |has been )?(blocked|denied|reject|refused))"
        ),
        "Gmail's SMTP errors, 550 5.7.1 (support.google.com/a/answer/3726730); Exchange, rspamd, Proofpoint",
        0.0,
        _AT_DATA,
    ),
    RefusalRule(
        BLOCKED,
        Extent.DOMAIN,
        _compile(r"^5.*(blocked using|black ?list|block ?list|spamhaus|\brbl\b)"),
        "block lists, as a relay hands on what the receiver said",
        BLOCK_S,
    ),
    # The size or content of the mail.
    RefusalRule(
        NEVER,
        Extent.MESSAGE,
        _compile(
            r"^5.*(\b5\.3\.4\b|\b5\.2\.3\b|message (size|is )?(too (large|big|long)|exceeds)|size (exceeds|limit)"
            r"|exceeded mailsize|length of (data|attach)|attachment is too long)"
        ),
        "RFC 3463, 3.3 and 3.4; RFC 1870, 6.1; Coremail's, Alibaba Mail's 510",
    ),
    RefusalRule(NEVER, Extent.MESSAGE, _compile(r"^552 (?!5\.2\.2)"), "RFC 1870, 6.1: SIZE at MAIL", 0.0, _AT_MAIL),
    RefusalRule(NEVER, Extent.RECIPIENT, _compile(r"^5.*(\b5\.6\.7\b|smtputf8)"), "RFC 6531, 3.5"),
    RefusalRule(
        NEVER,
        Extent.MESSAGE,
        _compile(r"^5.*(\bDT:SPM\b|\bspam|virus|malware|phish|gtube|content|\b5\.6\.\d\b|attachment|security issue)"),
        "NetEase's 550, QQ's 550 Mail content denied, Alibaba Mail's 551, 554; rspamd, amavis; Gmail's 552 5.7.0",
        0.0,
        _AT_DATA,
    ),
    # A fault of this client: a sequence of commands that the server did not expect.
    RefusalRule(LATER, Extent.SERVER, _compile(r"^503 "), "RFC 5321, 4.2.4: a sequence of commands it did not expect"),
)
"""The first rule that matches decides; without one `classify_refusal` decides by stage and code."""

_BRACKETED = re.compile(r"<[^<>]*>")
_WORD = re.compile(r"[!-~]+")

UNSPECIFIC = _compile(r"^5\d\d 5\.7\.\d{1,3}\b")
"""RFC 3463, 3.8: security or policy. Other mail between the two domains shows whether all of it is refused."""


def classify_refusal(reply: Reply, scopes: Scopes, stage: Stage) -> Again | Refused | Blocked:
    """Return the result of a mail that was refused at a stage.

    A refusal that concerns neither recipient nor message is Blocked, so that no message fails; at MAIL it concerns the
    sender. A refusal by policy (5.7.x) that names no reason is Refused and concerns the domain: `MailServer` decides.
    """
    reply_text = f"{reply.code} {_hide_addresses(reply.text)}"
    text = reply.text or "The server gave no reason."
    unlisted = f" (an unlisted code, classified by its first digit: {reply.code})" if reply.is_unlisted else ""
    for rule in REFUSAL_RULES:
        if stage in rule.stages and rule.pattern.search(reply_text):
            return _make_result(rule, reply.label, text, scopes)
    result = classify(reply, scopes.server)
    if isinstance(result, Refused) and stage is Stage.MAIL:
        return Blocked(PROVIDER, scopes.find(Extent.SENDER), reply.label, text + unlisted, BLOCK_S, "sender")
    if isinstance(result, Refused) and UNSPECIFIC.match(reply_text):
        return Refused(PROVIDER, reply.label, text, "domain")
    concerns: Concern = "account" if isinstance(result, Blocked) else BY_STAGE[stage]
    return replace(result, detail=result.detail + unlisted, concerns=concerns)


def classify_before_mail(reply: Reply, scope: str) -> Again | Blocked:
    """Return the result of a refusal before any mail: it concerns no recipient, so a permanent refusal blocks.

    A limit of rate blocks nothing, whatever its first digit.
    """
    reply_text = f"{reply.code} {reply.text}"
    for rule in REFUSAL_RULES:
        if rule.meaning is Meaning.LATER and rule.after_s and rule.pattern.search(reply_text):
            return Again(PROVIDER, reply.label, reply.text, rule.after_s)
    result = classify(reply, scope)
    return Blocked(PROVIDER, scope, result.code, result.detail, BLOCK_S) if isinstance(result, Refused) else result


def _hide_addresses(text: str) -> str:
    """Remove addresses before matching: one may be spam@ or dmarc@."""
    return _WORD.sub(lambda word: "<>" if "@" in word[0] else word[0], _BRACKETED.sub("<>", text))


def _make_result(rule: RefusalRule, label: str, text: str, scopes: Scopes) -> Again | Refused | Blocked:
    concerns = CONCERNS[rule.extent]
    match rule.meaning:
        case Meaning.LATER:
            is_paced = rule.extent is Extent.DOMAIN  # `domains` slows mail to the domain
            return Again(PROVIDER, label, text, rule.after_s, concerns, is_paced=is_paced)
        case Meaning.NEVER:
            return Refused(PROVIDER, label, text, concerns)
        case Meaning.BLOCKED:
            # A daily quota and a 4xx pass without a change of settings.
            passes = rule.after_s >= DAILY_S or label.startswith("4")
            return Blocked(PROVIDER, scopes.find(rule.extent), label, text, rule.after_s, concerns, passes)
