"""What a mail that came back says: a delivery report, a complaint, a machine's answer, or nothing of the kind.

Of a report only its kind is trusted. Its token names the message (`bounce_token`); anybody can forge its addresses.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

from imsg_contract.wire import Refused
from imsg_smtp.bounces.find_token import FEEDBACK_PART, SIGNED_HEADER, STATUS_PARTS, find_names, find_tokens
from imsg_smtp.bounces.mime_parts import Part, decode_words, read_blocks, read_mail, walk
from imsg_smtp.bounces.plain_bounce import find_words, has_bounce_subject, is_from_postmaster, read_plain_bounce
from imsg_smtp.hard_bounces import is_hard
from imsg_smtp.refusals import Scopes, Stage, judge
from imsg_smtp.replies import MAX_TEXT_CHARACTERS, Reply, make_readable


class Kind(StrEnum):
    """What becomes of a message by a report."""

    DELIVERED = "delivered"
    FAILED = "failed"
    DELAYED = "delayed"
    """It is tried further; nothing is known."""
    RELAYED = "relayed"
    """It went to a server that reports no delivery, or to several addresses: nothing more will be heard."""
    COMPLAINT = "complaint"
    """Whoever got it called it spam."""
    AUTO_REPLY = "auto_reply"
    """A machine answered: a holiday's notice, a list, or a mail of ours that came round."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Report:
    """A mail that came back, read."""

    kind: Kind
    code: str = ""
    """The status as history has it: `550 5.1.1`, or `5.1.1` where no reply is told; empty where there is none."""
    detail: str = ""
    """The server's words, one line of at most 500 characters."""
    is_hard: bool = False
    """Whether it says that the address is not there."""
    recipient: str = ""
    """Whom the report names: an alias or a forwarder may have made it of the address that was written to."""
    at: datetime | None = None
    """When it says it was written."""
    tokens: tuple[str, ...] = ()
    """What may be a token of its envelope, the likeliest first."""
    names: tuple[str, ...] = ()
    """What may be a signed name of the mail that came back, the likeliest first; none where no server wrote this."""

    @property
    def is_bounce(self) -> bool:
        """Whether it tells what became of a mail: whatever people or their machines answer does not."""
        return self.kind not in (Kind.AUTO_REPLY, Kind.UNKNOWN)


ACTIONS = {
    "failed": Kind.FAILED,
    "delivered": Kind.DELIVERED,
    "delayed": Kind.DELAYED,
    "relayed": Kind.RELAYED,
    "expanded": Kind.RELAYED,
}
"""RFC 3464, 2.3.3."""

STRONGEST = (Kind.DELIVERED, Kind.FAILED, Kind.RELAYED, Kind.DELAYED)
"""Of several recipients in one report, which an alias may make of one: statuses climb in this order, too."""

NO_STATUS = "5.0.0"
"""What a failure has for its status where nobody gave it one (RFC 3463, 3.1)."""

SHOWN = 100
"""How much of a complaint's field is kept."""

_STATUS = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})\b", re.ASCII)
_DOMAIN = re.compile(r"@([a-z0-9.-]{1,100})>?\s{0,8}$", re.ASCII | re.IGNORECASE)
_TYPE = re.compile(r"^\s{0,8}[A-Za-z0-9-]{1,32}\s{0,8};", re.ASCII)
_LINE = re.compile(r"(?<!\S)([245]\d\d)[ -]", re.ASCII)
_REPLY = re.compile(r"([245]\d\d)(?:[ -]|$)", re.ASCII)
_BEFORE_REPLY = re.compile(r"[^;]{0,200}?\b(?:said|RCPT TO|MAIL FROM|DATA|DOT)\s?:\s{0,8}(?=[245]\d\d[ -])", re.ASCII)
"""What stands before a reply at Coremail (`SMTP error, RCPT TO: 550 …`) and where one server quotes another."""


def read_report(raw: bytes, *, rcpt: Sequence[str] = ()) -> Report:
    """Read a mail that came back; `rcpt` are its envelope's recipients, as far as they are known.

    Raises nothing, whatever the mail is; time grows with its length, of which 256 KiB are read.
    """
    mail = read_mail(raw)
    parts = list(walk(mail))
    report = replace(_read(mail, parts), at=_date(mail), tokens=tuple(dict.fromkeys(find_tokens(mail, parts, rcpt))))
    is_servers = is_from_postmaster(mail) or any(part.type in (*STATUS_PARTS, FEEDBACK_PART) for part in parts)
    if not (report.is_bounce and is_servers):
        return report
    return replace(report, names=tuple(dict.fromkeys(find_names(mail, parts))))


def may_be_bounce(head: bytes) -> bool:
    """Tell of a mail's headers whether it is worth reading: all other mail of a mailbox is people's own."""
    mail = read_mail(head)
    if is_from_postmaster(mail) or mail.type == "multipart/report":
        return True
    return has_bounce_subject(mail) or any(find_tokens(mail, (), ()))


def _read(mail: Part, parts: Sequence[Part]) -> Report:
    for part in parts:
        if part.type in STATUS_PARTS and (status := _read_status(part, parts)) is not None:
            return status
        if part.type == FEEDBACK_PART:
            return _read_feedback(part, mail)
    if is_auto_reply(mail):
        return Report(Kind.AUTO_REPLY)
    plain = read_plain_bounce(mail, parts)
    if plain.is_bounce:
        return _judge(Kind.FAILED, plain.text, NO_STATUS) if plain.is_permanent else _judge(Kind.DELAYED, plain.text)
    is_automatic = mail.value("auto-submitted").lower() not in ("", "no")
    return Report(Kind.AUTO_REPLY if is_automatic else Kind.UNKNOWN)


def _read_status(part: Part, parts: Sequence[Part]) -> Report | None:
    """Read a DSN (RFC 3464); None where it tells of no recipient. Where it gives no reason, the page beside it may."""
    found: dict[Kind, Report] = {}
    for fields in read_blocks(part.octets):
        kind = ACTIONS.get(fields.get("action", "").split("(")[0].strip().lower())
        if kind is None:
            continue
        words = _TYPE.sub("", fields.get("diagnostic-code", "")).strip()
        if not words and kind is Kind.FAILED:
            words = find_words(parts)
        recipient = fields.get("final-recipient", "").rpartition(";")[2].strip().strip("<>")
        found.setdefault(kind, replace(_judge(kind, words, fields.get("status", "")), recipient=recipient))
    return next((found[kind] for kind in STRONGEST if kind in found), None)


def _read_feedback(part: Part, mail: Part) -> Report:
    """Read an ARF (RFC 5965): only `abuse` is a complaint; `not-spam` and what is registered else change nothing.

    Its words name the type, and the domain and program that report it; never the person.
    """
    fields = next(iter(read_blocks(part.octets)), {})
    kind = fields.get("feedback-type", "").strip().lower()
    reporter = found[1] if (found := _DOMAIN.search(mail.value("from")[-200:])) else ""
    shown = (("Feedback-Type", kind), ("From", reporter), ("User-Agent", fields.get("user-agent", "").strip()))
    detail = _clean("; ".join(f"{name}: {value[:SHOWN]}" for name, value in shown if value))
    return Report(Kind.COMPLAINT if kind == "abuse" else Kind.UNKNOWN, detail=detail)


def is_auto_reply(mail: Part) -> bool:
    """Tell whether a mail that holds no report answers by itself, or is our own that came round (RFC 3834).

    Some bounces say `auto-replied` too, with nobody's address as their sender: these are no answers.
    """
    automatic = mail.value("auto-submitted").split(";")[0].strip().lower()
    if mail.value(SIGNED_HEADER) or (automatic == "auto-generated" and mail.value("feedback-id")):
        return True  # ours: bounces carry none
    if any(mail.value(name) for name in ("x-autoreply", "x-autorespond", "x-autoresponder")):
        return True
    if mail.value("precedence").strip().lower() in ("auto_reply", "list", "bulk") and not is_from_postmaster(mail):
        return True
    subject = decode_words(mail.value("subject")).lower()
    if subject.startswith(("automatic reply", "auto reply", "autoreply", "out of office", "自动回复", "自动答复")):
        return True
    return automatic in ("auto-replied", "auto-notified") and not is_from_postmaster(mail)


def _judge(kind: Kind, words: str, status: str = "") -> Report:
    """Make code, words and hardness of what a server said, by the same table that judges it at the door."""
    words = _clean(words)
    before = found[0] if (found := _BEFORE_REPLY.match(words)) else ""
    words = words[len(before) :]
    stated = _STATUS.match(status)
    code = found[1] if (found := _REPLY.match(words)) else ""
    text = _join_lines(words, code) if code else words
    own = _STATUS.match(text) or _STATUS.match(Reply.of(0, text).enhanced or "")
    if own is None and stated and stated[2] != "0" and code[:1] in ("", stated[1]):
        text = f"{stated[0].strip()} {text}".strip()
    known = own or stated
    reply = Reply.of(int(code) if code else 550 if known and known[1] == "5" else 0, text)
    label = reply.label if code else reply.enhanced or (stated[0].strip() if stated else "")
    stage = Stage.MAIL if "MAIL FROM" in before else Stage.RCPT
    return Report(kind, label, reply.text, is_hard=kind is Kind.FAILED and _is_hard(reply, stage))


def _is_hard(reply: Reply, stage: Stage) -> bool:
    if not 500 <= reply.code <= 599:  # noqa: PLR2004  RFC 5321's own numbers
        return False
    judged = judge(reply, Scopes.of("", "@", "@"), stage)
    return isinstance(judged, Refused) and is_hard(judged.code, reply.text)


def _join_lines(words: str, code: str) -> str:
    """Make one text of a reply, each line of which begins with its code and status."""
    if words[3:4] != "-":
        return words[4:].strip()
    lines = _LINE.sub(lambda found: "\n" if found[1] == code else found[0], words).split("\n")
    first, *others = (line.strip() for line in lines[1:])
    status = found[0].strip() if (found := _STATUS.match(first)) else ""
    return " ".join([first, *(piece.removeprefix(status).strip() for piece in others)])


def _date(mail: Part) -> datetime | None:
    try:
        at = parsedate_to_datetime(mail.value("date")[:80])
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    try:
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _clean(text: str) -> str:
    return make_readable(text[: 4 * MAX_TEXT_CHARACTERS])[:MAX_TEXT_CHARACTERS]
