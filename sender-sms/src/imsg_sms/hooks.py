"""What the providers tell us at `/hooks/sms/PROVIDER/SECRET`: kept by the broker before it is answered."""

import asyncio
import hmac
from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_contract.errors import Refusal
from imsg_runtime import bodies
from imsg_runtime.observe import logger
from imsg_runtime.redis import RedisUnavailable
from imsg_sms.providers import NotOurs, Pulling, Push, Reply, Report, Reporting, Reports
from imsg_sms.providers.clients import NoAnswer, NotSent
from imsg_sms.receipts import Receipts

log = logger(__name__)

MAX_BODY_BYTES = 1024 * 1024
"""Some 3,000 reports; Aliyun sends batches of at most 100."""

KEEP_TIMEOUT_S = 4.0
"""The providers wait 5 s, then repeat."""

AT_ONCE = 64

KEEP_AGAIN_S = 1.0
"""How long to wait before receipts that were fetched are published again."""

PULL_EVERY_S = 5.0
"""How long to wait where a provider had no receipts, or could not be asked."""


def routes(receipts: Receipts, providers: Sequence[Reporting], public_url: str = "") -> APIRouter:
    """Make the routes under /hooks/sms."""
    router = APIRouter(prefix="/hooks/sms")
    known: Mapping[str, Reporting] = {provider.name: provider for provider in providers}

    async def report(name: str, given: str, request: Request) -> Response:
        """Take receipts; repeats are harmless, and anything that is not kept is asked for again."""
        provider = known.get(name)
        if provider is None or provider.secret is None or not _same(given, provider.secret):
            raise Refusal("no_such_url", path=request.url.path)
        body = await bodies.read(request.receive, MAX_BODY_BYTES)
        headers = {header.lower(): value for header, value in request.headers.items()}
        try:
            read = provider.read(Push(_url(request, public_url), headers, body))
        except NotOurs as error:
            log.warning("report_not_signed", provider=name, why=str(error))
            raise Refusal("no_such_url", path=request.url.path) from error
        if read is None:
            return _reply(provider.garbled)
        if not await _record(receipts, name, read):
            return _reply(provider.lost)
        return _reply(provider.kept)

    router.add_api_route("/{name}/{given}", report, methods=["GET", "POST"], response_model=None)
    return router


async def pull(receipts: Receipts, provider: Pulling, every_s: float = PULL_EVERY_S) -> None:
    """Fetch a provider's receipts for as long as the service runs: it gives each only once, so none is let go."""
    while True:
        try:
            read = await provider.pull()
        except (NotSent, NoAnswer) as error:
            log.warning("receipts_not_pulled", provider=provider.name, why=str(error))
            await asyncio.sleep(every_s)
            continue
        while not await _record(receipts, provider.name, read):  # noqa: ASYNC110  the broker is waited for
            await asyncio.sleep(KEEP_AGAIN_S)
        if not read.read:
            await asyncio.sleep(every_s)


async def _record(receipts: Receipts, name: str, read: Reports) -> bool:
    """Have the broker keep what was read; False where it did not within the time that providers wait."""
    if read.unreadable:
        log.warning("reports_unreadable", provider=name, count=read.unreadable)
    try:
        async with asyncio.timeout(KEEP_TIMEOUT_S):
            await _keep(receipts, read.read)
    except (PublishRefused, PublishUnknown, RedisUnavailable, TimeoutError) as error:
        log.warning("reports_not_recorded", count=len(read.read), why=str(error) or type(error).__name__)
        return False
    if read.read:
        log.info("reports_recorded", provider=name, count=len(read.read))
    return True


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def _url(request: Request, public_url: str) -> str:
    """Write the URL as the provider called it: a proxy before us has changed scheme and host."""
    if not public_url:
        return str(request.url)
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{public_url.rstrip('/')}{request.url.path}{query}"


def _reply(reply: Reply) -> Response:
    return Response(reply.body, reply.status, media_type=reply.media_type)


async def _keep(receipts: Receipts, read: Sequence[Report]) -> None:
    """Publish every receipt, confirmed; under our own id too where the message was found by asking."""
    asked = await receipts.recall({one.reference for one in read if one.reference})
    everything = [one.receipt for one in read]
    everything += [
        one.receipt.model_copy(update={"provider_id": one.reference}) for one in read if one.reference in asked
    ]
    for at in range(0, len(everything), AT_ONCE):
        await asyncio.gather(*(receipts.publish(receipt) for receipt in everything[at : at + AT_ONCE]))
