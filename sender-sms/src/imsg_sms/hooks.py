"""Receives receipts and inbound messages at `/hooks/sms/ACCOUNT/SECRET`, or pulls them, and publishes them."""

import asyncio
import itertools
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from fastapi import APIRouter, Request
from starlette.responses import Response

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_contract.constant_time import equals
from imsg_contract.errors import Refusal
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import RedisUnavailable
from imsg_sms.opt_out import is_opt_in, is_opt_out
from imsg_sms.opt_out_events import read_receipt_opt_out, read_reply
from imsg_sms.providers import FetchReports, HookReply, HookRequest, NotSigned, PushesReports, ReportBatch
from imsg_sms.receipts import Receipts
from imsg_web import bodies
from imsg_web.http_pool import NoAnswer, NotSent

log = logger(__name__)

PATH = "/hooks/sms/{name}/{secret}"

MAX_BODY_BYTES = 1024 * 1024
"""Some 3,000 reports; Aliyun sends batches of at most 100."""

RECORD_TIMEOUT_S = 4.0
"""The providers wait 5 s, then repeat."""

MAX_PUBLISHING = 64
"""Concurrent publications of one push."""

INBOUND = "/inbound"
"""The end of the URL of inbound messages, for providers that have a URL for them."""

RECORD_AGAIN_S = 1.0
"""How long to wait before publishing pulled receipts again."""

PULL_EVERY_S = 5.0
"""How long to wait after a pull that returned nothing or failed."""


@dataclass(frozen=True, slots=True)
class ReportRecorder:
    """Publishes receipts, inbound messages and opt-outs."""

    receipts: Receipts
    opt_out: Sequence[str]
    """The words that opt out."""
    opt_in: Sequence[str]
    """The words that opt in again."""
    signatures: Mapping[str, str] = field(default_factory=dict)
    """Account → its only signature; accounts with several are left out."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Account → its kind; an account that is left out is named like its kind."""
    problem: RecurringProblem = field(
        default_factory=lambda: RecurringProblem(log, "reports_not_recorded"), compare=False
    )

    async def record(self, name: str, batch: ReportBatch) -> bool:
        """Publish reports; return False if the broker did not confirm them within `RECORD_TIMEOUT_S`."""
        if batch.unreadable:
            log.warning("reports_unreadable", provider=name, count=batch.unreadable)
        count = len(batch.receipts) + len(batch.inbound)
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_S):
                await self._publish(name, batch)
        except (PublishRefused, PublishUnknown, RedisUnavailable, TimeoutError) as error:
            self.problem.report(error, count=count)
            return False
        self.problem.clear()
        if count:
            log.info("reports_recorded", provider=name, count=count, inbound=len(batch.inbound))
        return True

    async def _publish(self, name: str, batch: ReportBatch) -> None:
        """Publish a batch; a receipt of a message that was looked up by our id is published under that id too."""
        signature, kind = self.signatures.get(name), self.kinds.get(name, name)
        suppressions = [
            suppression
            for report in batch.receipts
            for suppression in read_receipt_opt_out(report.receipt, signature, kind=kind, is_described=report.opted_out)
        ]
        await _await_all(self.receipts.suppress(suppression) for suppression in suppressions)
        references = await self.receipts.recall({report.reference for report in batch.receipts if report.reference})
        receipts = [report.receipt for report in batch.receipts]
        receipts += [
            report.receipt.model_copy(update={"provider_id": report.reference})
            for report in batch.receipts
            if report.reference in references
        ]
        await _await_all(self.receipts.publish(receipt) for receipt in receipts)
        for message in batch.inbound:
            opts_out = message.opt_out or is_opt_out(message.text, self.opt_out)
            opts_in = not opts_out and (message.opt_in or is_opt_in(message.text, self.opt_in))
            inbound = message.model_copy(update={"opt_out": opts_out, "opt_in": opts_in})
            for suppression in read_reply(inbound):
                await self.receipts.suppress(suppression)
            await self.receipts.publish_inbound(inbound)


def make_router(recorder: ReportRecorder, providers: Sequence[PushesReports], public_url: str = "") -> APIRouter:
    """Make the routes under /hooks/sms. Of several providers of a name, the first that can read a push does."""

    async def receive(request: Request) -> Response:
        """Publish receipts and inbound messages before answering; an error makes the provider push again."""
        name, secret = request.path_params["name"], request.path_params["secret"]
        known = [
            provider
            for provider in providers
            if provider.name == name and provider.secret is not None and equals(secret, provider.secret)
        ]
        if not known:
            raise Refusal("no_such_url", path=request.url.path)
        body = await bodies.read(request.scope, request.receive, MAX_BODY_BYTES)
        headers = {header.lower(): value for header, value in request.headers.items()}
        push = HookRequest(_url(request, public_url), headers, body, request.url.path.endswith(INBOUND))
        try:
            provider, batch = _read(known, push)
        except NotSigned as error:
            log.warning("report_not_signed", provider=name, why=str(error))
            raise Refusal("no_such_url", path=request.url.path) from error
        if batch is None:
            return _reply(provider.unreadable_reply)
        if not await recorder.record(name, batch):
            return _reply(provider.retry_reply)
        return _reply(batch.reply or provider.accepted_reply)

    router = APIRouter(include_in_schema=False)
    for path in (PATH, PATH + INBOUND):
        router.add_api_route(path, receive, methods=["GET", "POST"])
    return router


def _read(providers: Sequence[PushesReports], push: HookRequest) -> tuple[PushesReports, ReportBatch | None]:
    """Return the first provider by whose credentials a push is signed, and what it reads. Raises NotSigned."""
    for provider in providers[:-1]:
        with suppress(NotSigned):
            return provider, provider.read(push)
    return providers[-1], providers[-1].read(push)


async def pull(recorder: ReportRecorder, name: str, fetch: FetchReports, every_s: float = PULL_EVERY_S) -> None:
    """Pull a provider's reports until cancelled. It hands each out once, so publishing is retried."""
    problem = RecurringProblem(log, "receipts_not_pulled", provider=name)
    while True:
        try:
            batch = await fetch()
        except (NotSent, NoAnswer) as error:
            problem.report(error)
            await asyncio.sleep(every_s)
            continue
        problem.clear()
        while not await recorder.record(name, batch):  # noqa: ASYNC110  the broker is waited for
            await asyncio.sleep(RECORD_AGAIN_S)
        if not batch.receipts and not batch.inbound:
            await asyncio.sleep(every_s)


async def _await_all(published: Iterable[Awaitable[None]]) -> None:
    """Await `MAX_PUBLISHING` at a time. Raises the first error."""
    remaining = iter(published)
    while slice_ := list(itertools.islice(remaining, MAX_PUBLISHING)):
        await asyncio.gather(*slice_)


def _url(request: Request, public_url: str) -> str:
    """Return the URL that the provider called: a reverse proxy may have changed scheme and host."""
    if not public_url:
        return str(request.url)
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{public_url.rstrip('/')}{request.url.path}{query}"


def _reply(reply: HookReply) -> Response:
    return Response(reply.body, reply.status, media_type=reply.media_type)
