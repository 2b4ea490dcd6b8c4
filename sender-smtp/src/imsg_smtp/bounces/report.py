"""Reads a bounce: a delivery report, a complaint, an automatic reply, or an unknown mail.

The token names the message (`bounce_token`). The addresses in a report can be forged and decide nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

from imsg_contract.results import Refused
from imsg_smtp.bounces.find_token import FEEDBACK_PART, SIGNED_HEADER, STATUS_PARTS, find_names, find_tokens
from imsg_smtp.bounces.mime_parts import Part, decode_words, read_blocks, read_mail, walk
from imsg_smtp.bounces.plain_bounce import find_reply_text, has_bounce_subject, is_from_postmaster, read_plain_bounce
from imsg_smtp.hard_bounces import is_hard
from imsg_smtp.refusals import Scopes, Stage, classify_refusal
from imsg_smtp.replies import MAX_TEXT_CHARACTERS, Reply, make_readable


class Kind(StrEnum):
    """What a report says about a message."""

    DELIVERED = "delivered"
    FAILED = "failed"
    DELAYED = "delayed"
    """The server tries again."""
    RELAYED = "relayed"
    """The mail went to a server that reports no delivery, or to several addresses: no further report follows."""
    COMPLAINT = "complaint"
    """The recipient reported the mail as spam."""
    AUTO_REPLY = "auto_reply"
    """An automatic reply, such as an absence notice; a mail of a list; or a mail of iMSG itself."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a bounce."""

    kind: Kind
    code: str = ""
    """The status for history: `550 5.1.1`, or `5.1.1` without a reply's code; empty where there is none."""
    detail: str = ""
    """The server's text, one line of at most 500 characters."""
    is_hard: bool = False
    """Whether it says that the address does not exist."""
    recipient: str = ""
    """The recipient in the report: behind an alias or a forwarder not the address that the mail was sent to."""
    at: datetime | None = None
    """The time in its Date header."""
    tokens: tuple[str, ...] = ()
    """Candidates for the envelope's token, the most reliable first."""
    names: tuple[str, ...] = ()
    """Candidates for the returned mail's signed name, the most reliable first; empty unless a server wrote this."""

    @property
    def is_bounce(self) -> bool:
        """Whether it reports on a mail; replies of people and automatic replies do not."""
        return self.kind not in (Kind.AUTO_REPLY, Kind.UNKNOWN)


ACTIONS = {
    "failed": Kind.FAILED,
    "delivered": Kind.DELIVERED,
    "delayed": Kind.DELAYED,
    "relayed": Kind.RELAYED,
    "expanded": Kind.RELAYED,
}
"""RFC 3464, 2.3.3."""

PRECEDENCE = (Kind.DELIVERED, Kind.FAILED, Kind.RELAYED, Kind.DELAYED)
"""Which action counts where a report has several recipients, as behind an alias; history ranks statuses alike."""

NO_STATUS = "5.0.0"
"""The status of a failure without one of its own (RFC 3463, 3.1)."""

MAX_FIELD_CHARACTERS = 100
"""Characters of a complaint's field that are kept."""

_STATUS = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})\b", re.ASCII)
_DOMAIN = re.compile(r"@([a-z0-9.-]{1,100})>?\s{0,8}$", re.ASCII | re.IGNORECASE)
_TYPE = re.compile(r"^\s{0,8}[A-Za-z0-9-]{1,32}\s{0,8};", re.ASCII)
_LINE = re.compile(r"(?<!\S)([245]\d\d)[ -]", re.ASCII)
_REPLY = re.compile(r"([245]\d\d)(?:[ -]|$)", re.ASCII)
_REPLY_PREFIX = re.compile(r"[^;]{0,200}?\b(?:said|RCPT TO|MAIL FROM|DATA|DOT)\s?:\s{0,8}(?=[245]\d\d[ -])", re.ASCII)
"""The text before a reply: Coremail's (`SMTP error, RCPT TO: 550 …`), or that of a server that quotes another."""


def read_report(raw: bytes, *, rcpt: Sequence[str] = ()) -> Report:
    """Read a bounce; `rcpt` are its envelope's recipients, as far as they are known.

    Raises nothing, whatever the mail is. Reads at most 256 KiB, in linear time.
    """
    mail = read_mail(raw)
    parts = list(walk(mail))
    tokens = tuple(dict.fromkeys(find_tokens(mail, parts, rcpt)))
    report = replace(_read(mail, parts), at=_read_date(mail), tokens=tokens)
    is_from_server = is_from_postmaster(mail) or any(part.type in (*STATUS_PARTS, FEEDBACK_PART) for part in parts)
    if not (report.is_bounce and is_from_server):
        return report
    return replace(report, names=tuple(dict.fromkeys(find_names(mail, parts))))


def may_be_bounce(head: bytes) -> bool:
    """Return whether a mail may be a bounce by its headers; `head` is their octets."""
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
        return (
            _classify(Kind.FAILED, plain.text, NO_STATUS) if plain.is_permanent else _classify(Kind.DELAYED, plain.text)
        )
    is_automatic = mail.value("auto-submitted").lower() not in ("", "no")
    return Report(Kind.AUTO_REPLY if is_automatic else Kind.UNKNOWN)


def _read_status(part: Part, parts: Sequence[Part]) -> Report | None:
    """Read a DSN (RFC 3464); None where it has no recipient. A failure without a text takes it from the other parts."""
    reports: dict[Kind, Report] = {}
    for fields in read_blocks(part.octets):
        kind = ACTIONS.get(fields.get("action", "").split("(")[0].strip().lower())
        if kind is None:
            continue
        text = _TYPE.sub("", fields.get("diagnostic-code", "")).strip()
        if not text and kind is Kind.FAILED:
            text = find_reply_text(parts)
        recipient = fields.get("final-recipient", "").rpartition(";")[2].strip().strip("<>")
        reports.setdefault(kind, replace(_classify(kind, text, fields.get("status", "")), recipient=recipient))
    return next((reports[kind] for kind in PRECEDENCE if kind in reports), None)


def _read_feedback(part: Part, mail: Part) -> Report:
    """Read an ARF report (RFC 5965): `abuse` is a complaint, the other types have no effect.

    The detail has the type, the reporting domain and its program, and no address of a person.
    """
    fields = next(iter(read_blocks(part.octets)), {})
    kind = fields.get("feedback-type", "").strip().lower()
    reporter = match[1] if (match := _DOMAIN.search(mail.value("from")[-200:])) else ""
    named = (("Feedback-Type", kind), ("From", reporter), ("User-Agent", fields.get("user-agent", "").strip()))
    detail = _clean("; ".join(f"{name}: {value[:MAX_FIELD_CHARACTERS]}" for name, value in named if value))
    return Report(Kind.COMPLAINT if kind == "abuse" else Kind.UNKNOWN, detail=detail)


def is_auto_reply(mail: Part) -> bool:
    """Return whether a mail without a report is an automatic reply (RFC 3834), or one of iMSG's own mails.

    Some bounces have `auto-replied` too; a postmaster as their sender tells them from replies.
    """
    automatic = mail.value("auto-submitted").split(";")[0].strip().lower()
    if mail.value(SIGNED_HEADER) or (automatic == "auto-generated" and mail.value("feedback-id")):
        return True  # one of iMSG's own mails: bounces have neither header
    if any(mail.value(name) for name in ("x-autoreply", "x-autorespond", "x-autoresponder")):
        return True
    if mail.value("precedence").strip().lower() in ("auto_reply", "list", "bulk") and not is_from_postmaster(mail):
        return True
    subject = decode_words(mail.value("subject")).lower()
    if subject.startswith(("automatic reply", "auto reply", "autoreply", "out of office", "自动回复", "自动答复")):
        return True
    return automatic in ("auto-replied", "auto-notified") and not is_from_postmaster(mail)


def _classify(kind: Kind, reply_text: str, status: str = "") -> Report:
    """Make a report of a server's reply and the DSN's status, by the table for replies during sending (`refusals`)."""
    reply_text = _clean(reply_text)
    before = match[0] if (match := _REPLY_PREFIX.match(reply_text)) else ""
    reply_text = reply_text[len(before) :]
    stated = _STATUS.match(status)
    code = match[1] if (match := _REPLY.match(reply_text)) else ""
    text = _join_lines(reply_text, code) if code else reply_text
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
    result = classify_refusal(reply, Scopes("", "", ""), stage)
    return isinstance(result, Refused) and is_hard(result.code, reply.text)


def _join_lines(reply_text: str, code: str) -> str:
    """Join the lines of a reply, without the code and status that each line begins with."""
    if reply_text[3:4] != "-":
        return reply_text[4:].strip()
    lines = _LINE.sub(lambda match: "\n" if match[1] == code else match[0], reply_text).split("\n")
    first, *others = (line.strip() for line in lines[1:])
    status = match[0].strip() if (match := _STATUS.match(first)) else ""
    return " ".join([first, *(piece.removeprefix(status).strip() for piece in others)])


def _read_date(mail: Part) -> datetime | None:
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
