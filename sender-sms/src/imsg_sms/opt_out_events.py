"""Opt-outs and opt-ins: read from replies, refusals and receipts, and published for catalog."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_contract.suppressions import Reason, Suppression
from imsg_contract.wire import Category, Inbound, Job, Receipt, Recipient, Refused, Status
from imsg_runtime.logs import logger

log = logger(__name__)

METHOD = "sms"

Suppress = Callable[[Suppression], Awaitable[None]]
"""Publishes a suppression for catalog. Raises PublishRefused, PublishUnknown."""

TELL_TIMEOUT_S = 4.0

OPT_OUT_CATEGORIES = (Category.NOTICE, Category.MARKETING)
"""Opting out never blocks codes, which people need to log in (ADR 37)."""


@dataclass(frozen=True, slots=True)
class OptOut:
    """The opt-out that a provider's code stands for."""

    is_of_signature: bool = True
    """Else it holds for every signature."""
    categories: Sequence[Category] = OPT_OUT_CATEGORIES


OPTED_OUT: Mapping[tuple[str, str], OptOut] = {
    ("aliyun", "isv.CUSTOMER_REFUSED"): OptOut(categories=(Category.MARKETING,)),
    ("aliyun", "MOBILE_IN_BLACK"): OptOut(),
    ("aliyun", "USER_REJECT"): OptOut(),
    ("tencent", "FailedOperation.PhoneNumberInBlacklist"): OptOut(),
    ("twilio", "21610"): OptOut(is_of_signature=False),
}
"""(Kind of provider, code) of an answer, a receipt or what was found by asking that says that a number opted out.

Aliyun: the first is of marketing alone; the others come in receipts, of who opted out of the signature or stands on a
carrier's list (help.aliyun.com/document_detail/101347.html, by third parties' copies of November 2026). 21610: it
answered STOP to our number, whichever words came from there (twilio.com/docs/api/errors/21610). Tencent keeps a list
for each account (cloud.tencent.com/document/product/382/3773). Described providers say it in their files (`opted_out`).
"""

_BLACKLIST_CODE = re.compile(r"(?:[A-Z0-9]{0,6}[-_:]?)?BLACK(?:LIST(?:ED)?)?", re.ASCII | re.IGNORECASE)
"""Carriers' codes as providers pass them on: BLACK, MBBLACK, TDBLACK, W-BLACK. Who has them opted out, or complained of
such messages (support.huaweicloud.com/api-msgsms/sms_05_0051.html, help.aliyun.com/document_detail/2679007.html)."""

_OPT_OUT_WORDS = re.compile(r"(?:已|用户|号码)退订|opted out|unsubscribed", re.IGNORECASE)

_BLACKLIST_WORDS = re.compile(r"黑名单|blacklist", re.IGNORECASE)

_NOT_A_NUMBER = re.compile(
    r"关键|敏感|签名|内容|模板|sign|key|content|template|sender|(?<![a-z])IP(?![a-z])", re.IGNORECASE
)
"""Words of lists that hold something else than numbers."""


def read_reply(said: Inbound) -> Sequence[Suppression]:
    """Say what a reply asks for: of an opt-out, no marketing; of its opposite, everything that opt-outs kept back.

    Whether it was a notice that was answered, history knows, and tells too (`imsg_history.reply_matching`).
    """
    categories = (Category.MARKETING,) if said.opt_out else OPT_OUT_CATEGORIES if said.opt_in else ()
    return [
        Suppression(
            method=said.method,
            address=said.address,
            reason=Reason.OPT_OUT,
            sender=said.signature,
            category=category,
            evidence=said.text,
            at=said.at,
            lifts=said.opt_in,
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
    """Say what follows where a provider refuses a number because it opted out; nothing of any other refusal.

    `kind` is its provider's; `described` are the codes that say the same by its description.
    """
    known = OPTED_OUT.get((kind, refused.code)) or (OptOut() if refused.code in described else None)
    if known is None:
        return ()
    base = _suppress(recipient.address, f"{refused.code} {refused.detail}", signature, known, at)
    return [one.model_copy(update={"request": job.request, "n": recipient.n}) for one in base]


def read_receipt_opt_out(
    receipt: Receipt, signature: str | None, *, kind: str, is_said: bool = False
) -> Sequence[Suppression]:
    """Say what follows where a receipt says that the number opted out, or stands on a black list; else nothing.

    `signature` is that of all that the provider sends for us, None where it has several: then it is of all of them.
    `kind` is its provider's. `is_said`: by the provider's own description it says so, whatever its words.
    """
    if receipt.status is not Status.FAILED:
        return ()
    known = OPTED_OUT.get((kind, receipt.code or ""))
    if known is None and not is_said and not is_blacklisted(receipt.code or "", receipt.detail or ""):
        return ()
    words = f"{receipt.code or ''} {receipt.detail or ''}"
    return _suppress(receipt.address, words, signature, known or OptOut(), receipt.at)


def _suppress(address: str, said: str, signature: str | None, opt_out: OptOut, at: datetime) -> Sequence[Suppression]:
    """Write what follows of an opt-out that a provider tells; what it said is the evidence."""
    return [
        Suppression(
            method=METHOD,
            address=address,
            reason=Reason.OPT_OUT,
            sender=signature if opt_out.is_of_signature else None,
            category=category,
            evidence=said.strip(),
            at=at,
        )
        for category in opt_out.categories
    ]


def is_blacklisted(code: str, detail: str) -> bool:
    """Tell whether a receipt's code, or else its words, say that the number stands on a black list or opted out.

    Some providers give the carrier's code as the words.
    """
    if found := next((one for one in (code, detail.strip()) if _BLACKLIST_CODE.fullmatch(one)), None):
        return _NOT_A_NUMBER.search(found) is None
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
    """Tell the catalog of a number that opted out at its provider; without the broker it is told at the next no."""
    try:
        async with asyncio.timeout(TELL_TIMEOUT_S):
            for one in read_refusal(
                job, recipient, refused, signature, datetime.now(UTC), kind=kind, described=described
            ):
                await suppress(one)
    except (PublishRefused, PublishUnknown, TimeoutError) as error:
        log.warning("opt_out_not_told", why=str(error) or type(error).__name__)
