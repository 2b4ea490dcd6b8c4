"""Turns replies, refusals and receipts into opt-outs and opt-ins, and publishes them for catalog."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_contract.results import Refused
from imsg_contract.suppressions import Reason, Suppression
from imsg_contract.wire import Category, Inbound, Job, Receipt, Recipient, Status
from imsg_runtime.logs import logger

log = logger(__name__)

METHOD = "sms"

Suppress = Callable[[Suppression], Awaitable[None]]
"""Publishes a suppression for catalog. Raises PublishRefused, PublishUnknown."""

PUBLISH_TIMEOUT_S = 4.0

OPT_OUT_CATEGORIES = (Category.NOTICE, Category.MARKETING)
"""An opt-out never blocks codes, which people need to log in (ADR 37)."""


@dataclass(frozen=True, slots=True)
class OptOut:
    """The extent of the opt-out that a provider's code means."""

    is_of_signature: bool = True
    """Whether it holds for the signature only; if not, for every signature."""
    categories: Sequence[Category] = OPT_OUT_CATEGORIES


OPTED_OUT: Mapping[tuple[str, str], OptOut] = {
    ("aliyun", "isv.CUSTOMER_REFUSED"): OptOut(categories=(Category.MARKETING,)),
    ("aliyun", "MOBILE_IN_BLACK"): OptOut(),
    ("aliyun", "USER_REJECT"): OptOut(),
    ("tencent", "FailedOperation.PhoneNumberInBlacklist"): OptOut(),
    ("twilio", "21610"): OptOut(is_of_signature=False),
}
"""(Kind of provider, code) of a reply, a receipt or a status query that means that a number opted out.

Aliyun: the first means marketing only; the others come in receipts, if the number opted out of the signature or is on
a carrier's list (help.aliyun.com/document_detail/101347.html, by third parties' copies of November 2026). 21610: the
recipient answered STOP to our number (twilio.com/docs/api/errors/21610). Tencent keeps a list for each account
(cloud.tencent.com/document/product/382/3773). The codes of described providers are in their files (`opted_out`).
"""

_BLACKLIST_CODE = re.compile(r"(?:[A-Z0-9]{0,6}[-_:]?)?BLACK(?:LIST(?:ED)?)?", re.ASCII | re.IGNORECASE)
"""Carriers' codes that providers pass on: BLACK, MBBLACK, TDBLACK, W-BLACK. The recipient opted out, or complained of
such messages (support.huaweicloud.com/api-msgsms/sms_05_0051.html, help.aliyun.com/document_detail/2679007.html)."""

_OPT_OUT_WORDS = re.compile(r"(?:已|用户|号码)退订|opted out|unsubscribed", re.IGNORECASE)

_BLACKLIST_WORDS = re.compile(r"黑名单|blacklist", re.IGNORECASE)

_NOT_A_NUMBER = re.compile(
    r"关键|敏感|签名|内容|模板|sign|key|content|template|sender|(?<![a-z])IP(?![a-z])", re.IGNORECASE
)
"""Words in receipts about a blacklist of something other than numbers."""


def read_reply(reply: Inbound) -> Sequence[Suppression]:
    """Return the suppressions of a reply: an opt-out suppresses marketing, an opt-in lifts all opt-outs.

    History knows whether a notice was answered, and then suppresses notices too (`imsg_history.reply_matching`).
    """
    categories = (Category.MARKETING,) if reply.opt_out else OPT_OUT_CATEGORIES if reply.opt_in else ()
    return [
        Suppression(
            method=reply.method,
            address=reply.address,
            reason=Reason.OPT_OUT,
            sender=reply.signature,
            category=category,
            evidence=reply.text,
            at=reply.at,
            lifts=reply.opt_in,
        )
        for category in categories
    ]


def read_refusal(
    job: Job,
    recipient: Recipient,
    refused: Refused,
    signature: str | None,
    at: datetime,
    *,
    kind: str,
    described: Collection[str] = (),
) -> Sequence[Suppression]:
    """Return the suppressions of a refusal because the number opted out; none for any other refusal.

    `kind` is the kind of provider; `described` are further codes that its description lists as opt-outs.
    """
    opt_out = OPTED_OUT.get((kind, refused.code)) or (OptOut() if refused.code in described else None)
    if opt_out is None:
        return ()
    base = _suppress(recipient.address, f"{refused.code} {refused.detail}", signature, opt_out, at)
    return [suppression.model_copy(update={"request": job.request, "n": recipient.n}) for suppression in base]


def read_receipt_opt_out(
    receipt: Receipt, signature: str | None, *, kind: str, is_described: bool = False
) -> Sequence[Suppression]:
    """Return the suppressions of a receipt that reports an opt-out or a blacklisted number; none for any other.

    `signature` is the only one of the account; None if it has several: the opt-out then holds for all of them.
    `kind` is the kind of provider. `is_described` means that the provider's description lists the code as an opt-out.
    """
    if receipt.status is not Status.FAILED:
        return ()
    opt_out = OPTED_OUT.get((kind, receipt.code or ""))
    if opt_out is None and not is_described and not is_blacklisted(receipt.code or "", receipt.detail or ""):
        return ()
    words = f"{receipt.code or ''} {receipt.detail or ''}"
    return _suppress(receipt.address, words, signature, opt_out or OptOut(), receipt.at)


def _suppress(
    address: str, evidence: str, signature: str | None, opt_out: OptOut, at: datetime
) -> Sequence[Suppression]:
    """Return one suppression for each category of an opt-out."""
    return [
        Suppression(
            method=METHOD,
            address=address,
            reason=Reason.OPT_OUT,
            sender=signature if opt_out.is_of_signature else None,
            category=category,
            evidence=evidence.strip(),
            at=at,
        )
        for category in opt_out.categories
    ]


def is_blacklisted(code: str, detail: str) -> bool:
    """Return whether a receipt's code or detail means that the number is on a blacklist or opted out.

    Some providers put the carrier's code into the detail.
    """
    for text in (code, detail.strip()):
        if _BLACKLIST_CODE.fullmatch(text):
            return _NOT_A_NUMBER.search(text) is None
    is_listed = _BLACKLIST_WORDS.search(detail) is not None and _NOT_A_NUMBER.search(detail) is None
    return is_listed or _OPT_OUT_WORDS.search(detail) is not None


async def publish_opt_out(
    suppress: Suppress,
    job: Job,
    recipient: Recipient,
    refused: Refused,
    signature: str | None,
    *,
    kind: str,
    described: Collection[str] = (),
) -> None:
    """Publish the suppressions of a refusal. If the broker fails, the next refusal of the number publishes them."""
    try:
        async with asyncio.timeout(PUBLISH_TIMEOUT_S):
            for suppression in read_refusal(
                job, recipient, refused, signature, datetime.now(UTC), kind=kind, described=described
            ):
                await suppress(suppression)
    except (PublishRefused, PublishUnknown, TimeoutError) as error:
        log.warning("opt_out_not_published", why=str(error) or type(error).__name__)
