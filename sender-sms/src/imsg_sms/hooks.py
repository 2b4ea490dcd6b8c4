"""What the providers tell us: Aliyun's SmsReport, kept by the broker before it is answered."""

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import SecretStr

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_contract.errors import Refusal
from imsg_contract.wire import Receipt, Status
from imsg_runtime import bodies
from imsg_runtime.observe import logger
from imsg_runtime.redis import RedisUnavailable
from imsg_runtime.responses import Answer
from imsg_sms.providers import numbers
from imsg_sms.providers.aliyun import NAME as ALIYUN
from imsg_sms.providers.aliyun import moment
from imsg_sms.receipts import Receipts

log = logger(__name__)

MAX_BODY_BYTES = 1024 * 1024
"""Some 3,000 reports; Aliyun sends batches of at most 100."""
KEPT = {"code": 0, "msg": "接收成功"}
"""To the letter: help.aliyun.com/document_detail/101867.html."""

KEEP_TIMEOUT_S = 4.0
"""The provider waits 5 s, then repeats."""

AT_ONCE = 64


def routes(receipts: Receipts, secret: SecretStr | None, now: Callable[[], datetime]) -> APIRouter:
    """Make the routes under /hooks/sms."""
    router = APIRouter(prefix="/hooks/sms")

    @router.post("/aliyun/{given}")
    async def report(given: str, request: Request) -> Answer:
        """Take receipts; repeats are harmless, and anything that is not kept is asked for again."""
        if secret is None or not _same(given, secret.get_secret_value()):
            raise Refusal("no_such_url", path=request.url.path)
        body = await bodies.read(request.receive, MAX_BODY_BYTES)
        entries = read_entries(body)
        if entries is None:
            return Answer({"code": 1, "msg": "not a JSON array of reports"}, 400)
        read = [receipt for entry in entries if (receipt := read_receipt(entry, now())) is not None]
        if len(read) < len(entries):
            log.warning("reports_unreadable", count=len(entries) - len(read))
        try:
            async with asyncio.timeout(KEEP_TIMEOUT_S):
                await _keep(receipts, read)
        except (PublishRefused, PublishUnknown, RedisUnavailable, TimeoutError) as error:
            log.warning("reports_not_recorded", count=len(read), why=str(error) or type(error).__name__)
            return Answer({"code": 1, "msg": "not kept, please repeat"}, 503)
        log.info("reports_recorded", count=len(read))
        return Answer(KEPT)

    return router


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def read_entries(body: bytes) -> Sequence[Any] | None:
    """Read a report's array, or a single entry; None where it is neither."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(said, dict):
        return [said]
    return said if isinstance(said, list) else None


def read_receipt(entry: object, now: datetime) -> tuple[Receipt, str] | None:
    """Read one report; with it our own id that it carries. None where it can't be matched with anything."""
    if not isinstance(entry, Mapping):
        return None
    identity, number = entry.get("biz_id"), entry.get("phone_number")
    address = numbers.read(str(number)) if number is not None else None
    if not isinstance(identity, str | int) or not str(identity) or address is None or "success" not in entry:
        return None
    is_delivered = entry["success"] in (True, "true", "True")
    code, detail = entry.get("err_code"), entry.get("err_msg")
    receipt = Receipt(
        provider=ALIYUN,
        provider_id=_plain(identity),
        address=address,
        status=Status.DELIVERED if is_delivered else Status.FAILED,
        code=_plain(code) if code else None,
        detail=_plain(detail) if detail else None,
        at=moment(str(entry.get("report_time") or "")) or now.astimezone(UTC),
    )
    return receipt, str(entry.get("out_id") or "")


def _plain(value: object) -> str:
    """Write a value as databases keep it: bounded, and without U+0000 or halves of a character."""
    return str(value)[:500].replace("\0", "").encode("utf-8", "replace").decode()


async def _keep(receipts: Receipts, read: Sequence[tuple[Receipt, str]]) -> None:
    """Publish every receipt, confirmed; under our own id too where the message was found by asking."""
    asked = await receipts.recall({own for _, own in read if own})
    everything = [receipt for receipt, _ in read]
    everything += [receipt.model_copy(update={"provider_id": own}) for receipt, own in read if own in asked]
    for at in range(0, len(everything), AT_ONCE):
        await asyncio.gather(*(receipts.publish(receipt) for receipt in everything[at : at + AT_ONCE]))
