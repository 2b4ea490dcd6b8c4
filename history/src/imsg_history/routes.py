"""History's URLs: the public ones that the gateway relays, and those for services alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp

from imsg_contract.errors import Refusal
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.addressees import Addressees
from imsg_history.asked import ErasureAsked
from imsg_history.attachments import MAX_BYTES, Attachments, Place
from imsg_history.dead_letters import DeadLetters
from imsg_history.erasures import Erasures
from imsg_history.filters import read_query, read_time
from imsg_history.ids import rfc3339
from imsg_history.overview import Overviews
from imsg_history.query import MessageQuery
from imsg_history.replies import Replies, read_filter
from imsg_history.request_list import RequestList
from imsg_history.resend import Resends
from imsg_history.stats import Counter, read_span
from imsg_runtime import bodies
from imsg_runtime.callers import Caller, Internal
from imsg_runtime.internal_api import Call, Routes, admit_administrator, admit_service, admit_user, make_api
from imsg_runtime.responses import Answer, ok


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes call."""

    finder: MessageQuery
    overviews: Overviews
    request_list: RequestList
    replies: Replies
    counter: Counter
    attachments: Attachments
    resends: Resends
    addressees: Addressees
    dead: DeadLetters
    erasures: Erasures
    now: Callable[[], datetime]
    find_as_of: Callable[[], datetime | None]
    """Returns up to when everything is recorded; None while that is not known."""

    def write_as_of(self) -> str | None:
        """Write up to when a list is complete: looked up before the list is."""
        at = self.find_as_of()
        return None if at is None else rfc3339(at)


def api(parts: Parts, internal: Internal) -> ASGIApp:
    """Make the API."""
    groups = (_messages(parts), _dead_letters(parts), _erasures(parts), _stored(parts), _resent(parts))
    return make_api(internal, groups, (DatabaseUnavailable,), _describe)


def _describe() -> Mapping[str, Any]:
    from imsg_history.openapi import document  # noqa: PLC0415  models of every answer, which only a reader wants

    return document()


def _messages(parts: Parts) -> Routes[Caller]:
    """Route what users read of what they sent."""
    routes = Routes(admit_user)

    @routes.get("/api/query")
    async def query(call: Call[Caller]) -> Response:
        page = await parts.finder.find(read_query(call.query, call.who))
        return Answer(ok(messages=page.messages, next=page.next))

    @routes.get("/api/messages")
    async def listing(call: Call[Caller]) -> Response:
        as_of = parts.write_as_of()
        page = await parts.finder.find(read_query(call.query, call.who, is_v2=True), is_v2=True)
        return Answer(ok(messages=page.messages, next=page.next, as_of=as_of))

    @routes.get("/api/requests")
    async def request_list(call: Call[Caller]) -> Response:
        as_of = parts.write_as_of()
        page = await parts.request_list.find(read_query(call.query, call.who, is_v2=True))
        return Answer(ok(requests=page.requests, next=page.next, as_of=as_of))

    @routes.get("/api/replies")
    async def replies(call: Call[Caller]) -> Response:
        page = await parts.replies.find(read_filter(call.query, call.who))
        return Answer(ok(replies=page.replies, next=page.next))

    @routes.get("/api/requests/{id}")
    async def overview(call: Call[Caller]) -> Response:
        return Answer(ok(**await parts.overviews.one(call.name("id"), call.who)))

    @routes.get("/api/stats")
    async def stats(call: Call[Caller]) -> Response:
        as_of = parts.write_as_of()
        span = read_span(call.query, call.who, parts.counter.zone, parts.now())
        buckets = await parts.counter.count(span)
        failures = await parts.counter.count_causes(span)
        zone = parts.counter.zone.key
        return Answer(ok(bucket=span.bucket, timezone=zone, buckets=buckets, failures=failures, as_of=as_of))

    return routes


def _dead_letters(parts: Parts) -> Routes[Caller]:
    routes = Routes(admit_administrator)

    @routes.get("/api/dead")
    async def letters(call: Call[Caller]) -> Response:
        page = await parts.dead.page(call.query.get("limit"), call.query.get("cursor"))
        return Answer(ok(dead=page.dead, next=page.next))

    @routes.get("/api/dead/{id}")
    async def letter(call: Call[Caller]) -> Response:
        return Answer(ok(**await parts.dead.one(call.name("id"))))

    return routes


def _erasures(parts: Parts) -> Routes[Caller]:
    routes = Routes(admit_administrator)

    @routes.take("POST", "/api/erasures", ErasureAsked)
    async def begin(call: Call[Caller], asked: ErasureAsked) -> Response:
        return Answer(ok(id=await parts.erasures.begin(asked.method, asked.to, call.who)), 202)

    @routes.get("/api/erasures/{id}")
    async def show(call: Call[Caller]) -> Response:
        return Answer(ok(**await parts.erasures.show(call.name("id"))))

    return routes


def _stored(parts: Parts) -> Routes[Caller | None]:
    """Route what services keep here and look up for themselves."""
    routes = Routes(admit_service)

    @routes.put("/internal/attachments/{request_id}/{sha256}")
    async def put(call: Call[Caller | None]) -> Response:
        expires_at = read_time(call.query, "expires_at")
        if expires_at is None:
            raise Refusal("missing", field="expires_at")
        body = await bodies.read(call.request.scope, call.request.receive, MAX_BYTES)
        await parts.attachments.put(_place(call), body, expires_at)
        return Answer(ok())

    @routes.get("/internal/attachments/{request_id}/{sha256}")
    async def get(call: Call[Caller | None]) -> Response:
        body = await parts.attachments.get(_place(call))
        return Response(body, media_type="application/octet-stream")

    @routes.get("/internal/recipients/{request_id}/{n}")
    async def recipient(call: Call[Caller | None]) -> Response:
        return Answer(ok(**await parts.addressees.find(f"{call.name('request_id')}-{call.name('n')}")))

    return routes


def _resent(parts: Parts) -> Routes[Caller]:
    """Route what the gateway asks for when somebody sends once more."""
    routes = Routes(admit_user)

    @routes.get("/internal/resend/{name}")
    async def resend(call: Call[Caller]) -> Response:
        uncertain = call.query.get("uncertain") == "1"
        # A gateway of the version before says nothing of `again`, and resends what was resent.
        again = call.query.get("again", "1") == "1"
        return Answer(ok(**await parts.resends.draft(call.name("name"), call.who, uncertain=uncertain, again=again)))

    @routes.get("/internal/dead/{name}")
    async def dead(call: Call[Caller]) -> Response:
        again = call.query.get("again", "1") == "1"
        return Answer(ok(**await parts.resends.draft_of_dead(call.name("name"), call.who, again=again)))

    return routes


def _place(call: Call[Caller | None]) -> Place:
    return Place.read(call.name("request_id"), call.name("sha256"))
