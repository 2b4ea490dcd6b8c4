"""The phrases by which servers say that an address does not exist, each with its source; for replies and bounces.

QQ, NetEase and most older servers send no enhanced status code, or a useless one, so that only the text decides.
"""

import re
from collections.abc import Sequence

_WITHIN = r"(?:(?!domain|host|server|sender|[.;]\s).){0,60}?"
"""Some words of the same sentence, none about a machine: the text may say that a domain does not exist."""

PHRASES: Sequence[tuple[str, str]] = (
    (r"mailbox not found", "QQ and Exmail, 550 (service.mail.qq.com, id=20022); Coremail's"),
    (r"non-?existent (?:account|user|mailbox|recipient|address)", "QQ, 550 at the end of the mail"),
    (r"(?:local )?user\b[^.;]{0,40} (?:is |was )?not (?:be )?found", "NetEase's 550 User not found; 163.net; U-Mail"),
    (r"invalid (?:user|recipient|rcpt ?to|mailbox)\b", "NetEase's 550 Invalid User; DirectMail's 559; 263; Coremail"),
    (
        (
            rf"\b(?:userd?|account|mail ?box|recipient|rcpt|address|person)\b{_WITHIN}"
            r"\b(?:do[es]{0,2} ?n['o’]?t?|not|no longer) exists?\b"
        ),
        "Alibaba Mail's RCPT … dosn't exist; 263's user not exist; Gmail, iCloud",
    ),
    (r"don'?t exists? that user", "Coremail's 550 local server don't exists that user"),
    (
        r"\bno (?:such|valid) (?:local )?(?:user|recipient|mailbox|mail box|account|address|person)\b",
        "sendmail, Exim, cPanel, U-Mail, Yandex",
    ),
    (
        (
            r"\bunknown (?:or (?:illegal|invalid) )?(?:virtual )?"
            r"(?:user|recipient|mailbox|account|alias|address|local[ -]?part)\b"
        ),
        "qmail, Exim; sisimai",
    ),
    (r"(?:unknown or illegal alias|invalid or unknown virtual user)", "zju.edu.cn; vpopmail"),
    (r"\b(?:user|recipient|account|mailbox|address)(?: name)?(?: is)? (?:unknown|not known)\b", "Postfix, sendmail"),
    (rf"\b(?:recipient|account|address|mailbox)\b{_WITHIN} (?:was |could )?not (?:be )?found\b", "Exchange; sisimai"),
    (r"recip(?:ient)? ?not ?found", "Exchange's RESOLVER.ADR.RecipientNotFound, RecipNotFound"),
    (r"\bnot (?:a )?(?:valid|known|local) (?:user|recipient|mailbox|account|address)\b", "Yahoo; sisimai"),
    (r"not user of this server", "Coremail's list of returns"),
    (r"\bno (?:account|mailbox|mail box|user)\b.{0,20} (?:by that name|with that name|here)", "qmail's (#5.1.1)"),
    (r"\bno(?:body| one| person) at this address", "Exim; sisimai"),
    (r"(?:user|recipient) (?:does ?n[o'’]t|does not) have an? .{0,30}?account", "Yahoo's 554 delivery error: dd"),
    (r"disabled or discontinued", "Yahoo's 554 delivery error: dd"),
    (r"(?:用户|收件人|地址|邮箱|账号|帐号|账户|帐户)(?:(?!域名|发件)[^,;，。；]){0,30}不存在", "QQ, NetEase"),
    (r"无此(?:用户|收件人|邮箱|账号|帐号)|查无此(?:人|用户)|未开通\s?\w{0,4}邮箱", "QQ's returns: 该用户未开通QQ邮箱"),
)
"""Regular expression (any case of letters) of a phrase that says that an address does not exist → who uses it.

Collected at dbmailserver.com, tnet.hk and icoremail.vip (Coremail's returns), in Alibaba Cloud's document 36612 and
DirectMail's list of codes, at smtp.codes/qq and QQ's help 20022, and in sisimai's list of unknown users.
"""

OTHER_STEMS = (
    "content",
    "spam",
    "virus",
    "malware",
    "phish",
    "quota",
    "over limit",
    "overlimit",
    "no space",
    "insufficient",
    "exceed",
    "frequen",
    "suspend",
    "hangup",
    "hang up",
    "too many",
    "too much",
    "too large",
    "too big",
    "too long",
    "too fast",
    "too quickly",
    "too often",
    "frozen",
    "block",
    "blacklist",
    "black list",
    "greylist",
    "grey list",
    "denied",
    "deny",
    "prohibit",
    "policy",
    "reputation",
    "authenti",
    "authoriz",
    "authoris",
    "verification failed",
    "verify failed",
    "temporar",
    "attack",
    "relaying",
    "to relay",
    "again later",
    "reverse",
    "拒收",
    "拒绝",
    "垃圾",
    "内容",
    "频率",
    "频繁",
    "超限",
    "限制",
    "已满",
    "不足",
    "黑名单",
    "冻结",
    "停用",
    "禁用",
    "锁定",
    "暂停",
    "发件人",
    "认证",
)
OTHER_WORDS = frozenset(
    ["full", "rate", "limit", "limited", "locked", "spf", "dkim", "dmarc", "sender", "ip", "ptr", "helo", "ehlo"]
)
"""Stems and words of other reasons: policy, spam, quota, content, the sender's address.

They outweigh every code and phrase: an address that is suppressed wrongly gets no mail any more.
"""

_BY_DIRECTORY = re.compile(r"\b5\.4\.1\b.{0,300}\brecipient address rejected: access denied", re.IGNORECASE)
"""How Exchange Online says that its directory has no such recipient (Microsoft, "Use Directory-Based Edge Blocking to
reject messages sent to invalid recipients"): `550 5.4.1 Recipient address rejected: Access denied. AS(201806281)`.
Without the code its words mean a policy."""

UNKNOWN = re.compile("|".join(f"(?:{phrase})" for phrase, _ in PHRASES), re.IGNORECASE)

_RUN = re.compile(r"[!-~]+")


def _hide_addresses(text: str) -> str:
    """Replace addresses and links by `<>`: an address may contain one of the words, such as spam@."""
    return _RUN.sub(lambda run: "<>" if "@" in run[0] or "://" in run[0] else run[0], text)


_LETTERS = re.compile(r"[a-z]+")


def gives_other_reason(text: str) -> bool:
    """Return whether a refusal names another reason than an address that does not exist."""
    words = _hide_addresses(text).lower()
    return any(stem in words for stem in OTHER_STEMS) or not OTHER_WORDS.isdisjoint(_LETTERS.findall(words))


def names_unknown_user(text: str) -> bool:
    """Return whether a text says that the address does not exist, and names no other reason."""
    words = _hide_addresses(text)
    if _BY_DIRECTORY.search(words):
        return True
    return UNKNOWN.search(words) is not None and not gives_other_reason(text)
