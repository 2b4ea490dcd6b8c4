"""Receipts and inbound messages at `/hooks/sms/ACCOUNT/SECRET`: published before they are answered."""

import asyncio
import itertools
from collections.abc import Awaitable, Iterable, Mapping, Sequence
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
from imsg_sms.providers import NotSigned, Pull, Push, Reply, Reporting, Reports
from imsg_sms.receipts import Receipts
from imsg_web import bodies
from imsg_web.http_pool import NoAnswer, NotSent

log = logger(__name__)

PATH = "/hooks/sms/{name}/{given}"

MAX_BODY_BYTES = 1024 * 1024
"""Some 3,000 reports; Aliyun sends batches of at most 100."""

RECORD_TIMEOUT_S = 4.0
"""The providers wait 5 s, then repeat."""

AT_ONCE = 64

INBOUND = "/inbound"
"""What the URL of inbound messages ends with, where a provider tells them apart by it."""

RECORD_AGAIN_S = 1.0
"""How long to wait before receipts that were fetched are published again."""

PULL_EVERY_S = 5.0
"""How long to wait where a provider had no receipts, or could not be asked."""


@dataclass(frozen=True, slots=True)
class ReportRecorder:
    """Publishes receipts, inbound messages and opt-outs."""

    receipts: Receipts
    opt_out: Sequence[str]
    """The words that ask for no more messages."""
    opt_in: Sequence[str]
    """The words that take it back."""
    signatures: Mapping[str, str] = field(default_factory=dict)
    """Account → the signature of all that it sends for us, where it is one."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Account → its kind; left out, it is called by its kind."""
    problem: RecurringProblem = field(
        default_factory=lambda: RecurringProblem(log, "reports_not_recorded"), compare=False
    )

    async def record(self, name: str, read: Reports) -> bool:
        """Publish reports; False where the broker did not confirm them within the time that providers wait."""
        if read.unreadable:
            log.warning("reports_unreadable", provider=name, count=read.unreadable)
        count = len(read.read) + len(read.inbound)
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_S):
                await self._publish(name, read)
        except (PublishRefused, PublishUnknown, RedisUnavailable, TimeoutError) as error:
            self.problem.note(error, count=count)
            return False
        self.problem.clear()
        if count:
            log.info("reports_recorded", provider=name, count=count, inbound=len(read.inbound))
        return True

    async def _publish(self, name: str, read: Reports) -> None:
        """Publish everything, confirmed; a receipt under our own id too where its message was found by asking."""
        signature, kind = self.signatures.get(name), self.kinds.get(name, name)
        black = [
            wish
            for one in read.read
            for wish in read_receipt_opt_out(one.receipt, signature, kind=kind, is_said=one.opted_out)
        ]
        await _await_all(self.receipts.suppress(wish) for wish in black)
        asked = await self.receipts.recall({one.reference for one in read.read if one.reference})
        everything = [one.receipt for one in read.read]
        everything += [
            one.receipt.model_copy(update={"provider_id": one.reference}) for one in read.read if one.reference in asked
        ]
        await _await_all(self.receipts.publish(receipt) for receipt in everything)
        for one in read.inbound:
            wants_none = one.opt_out or is_opt_out(one.text, self.opt_out)
            wants_again = not wants_none and (one.opt_in or is_opt_in(one.text, self.opt_in))
            said = one.model_copy(update={"opt_out": wants_none, "opt_in": wants_again})
            for wish in read_reply(said):
                await self.receipts.suppress(wish)
            await self.receipts.publish_inbound(said)


def make_router(recorder: ReportRecorder, providers: Sequence[Reporting], public_url: str = "") -> APIRouter:
    """Make the routes under /hooks/sms."""
    known: Mapping[str, Reporting] = {provider.name: provider for provider in providers}

    async def report(request: Request) -> Response:
        """Take receipts and inbound messages; repeats are harmless, and what is not kept is asked for again."""
        name, given = request.path_params["name"], request.path_params["given"]
        provider = known.get(name)
        if provider is None or provider.secret is None or not equals(given, provider.secret):
            raise Refusal("no_such_url", path=request.url.path)
        body = await bodies.read(request.scope, request.receive, MAX_BODY_BYTES)
        headers = {header.lower(): value for header, value in request.headers.items()}
        try:
            read = provider.read(Push(_url(request, public_url), headers, body, request.url.path.endswith(INBOUND)))
        except NotSigned as error:
            log.warning("report_not_signed", provider=name, why=str(error))
            raise Refusal("no_such_url", path=request.url.path) from error
        if read is None:
            return _reply(provider.unreadable_reply)
        if not await recorder.record(name, read):
            return _reply(provider.lost)
        return _reply(read.kept or provider.kept)

    router = APIRouter(include_in_schema=False)
    for path in (PATH, PATH + INBOUND):
        router.add_api_route(path, report, methods=["GET", "POST"])
    return router


async def pull(recorder: ReportRecorder, name: str, fetch: Pull, every_s: float = PULL_EVERY_S) -> None:
    """Fetch a provider's reports for as long as the service runs: it gives each only once, so none is let go."""
    problem = RecurringProblem(log, "receipts_not_pulled", provider=name)
    while True:
        try:
            read = await fetch()
        except (NotSent, NoAnswer) as error:
            problem.note(error)
            await asyncio.sleep(every_s)
            continue
        problem.clear()
        while not await recorder.record(name, read):  # noqa: ASYNC110  the broker is waited for
            await asyncio.sleep(RECORD_AGAIN_S)
        if not read.read and not read.inbound:
            await asyncio.sleep(every_s)


async def _await_all(published: Iterable[Awaitable[None]]) -> None:
    """Wait for them, so many at once. Raises what the first that fails raises."""
    waiting = iter(published)
    while some := list(itertools.islice(waiting, AT_ONCE)):
        await asyncio.gather(*some)


def _url(request: Request, public_url: str) -> str:
    """Write the URL as the provider called it: a proxy before us has changed scheme and host."""
    if not public_url:
        return str(request.url)
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{public_url.rstrip('/')}{request.url.path}{query}"


def _reply(reply: Reply) -> Response:
    return Response(reply.body, reply.status, media_type=reply.media_type)
