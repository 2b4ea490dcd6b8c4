"""What users read of what they sent.

The finders make the answers as JSON objects; they go out as they are, and the models describe them.
"""

from typing import Annotated

from fastapi import APIRouter, Query

from imsg_history.queries import MessagesQuery, RepliesQuery, StatsQuery, V1MessagesQuery
from imsg_history.routes.parts import HistoryParts
from imsg_history.schemas import (
    MessagesAnswer,
    QueryAnswer,
    RepliesAnswer,
    RequestAnswer,
    RequestsAnswer,
    StatsAnswer,
)
from imsg_history.stats import find_span
from imsg_web.authorization import InternalRoute, User
from imsg_web.responses import Answer, ok
from imsg_web.schemas import describe_refusals

LISTING = ("wrong_type", "method_unknown", "no_right")

router = APIRouter(prefix="/api", route_class=InternalRoute)


@router.get("/query", response_model=QueryAnswer, responses=describe_refusals(*LISTING))
async def list_messages_v1(user: User, query: Annotated[V1MessagesQuery, Query()], parts: HistoryParts) -> Answer:
    """List messages, the newest first."""
    page = await parts.messages.find_v1(query, user)
    return Answer(ok(messages=page.rows, next=page.next))


@router.get("/messages", response_model=MessagesAnswer, responses=describe_refusals(*LISTING))
async def list_messages(user: User, query: Annotated[MessagesQuery, Query()], parts: HistoryParts) -> Answer:
    """List messages, the newest first."""
    as_of = parts.write_as_of()
    page = await parts.messages.find(query, user)
    return Answer(ok(messages=page.rows, next=page.next, as_of=as_of))


@router.get("/requests", response_model=RequestsAnswer, responses=describe_refusals(*LISTING))
async def list_requests(user: User, query: Annotated[MessagesQuery, Query()], parts: HistoryParts) -> Answer:
    """List requests, the newest first."""
    as_of = parts.write_as_of()
    page = await parts.requests.find(query, user)
    return Answer(ok(requests=page.rows, next=page.next, as_of=as_of))


@router.get("/requests/{id}", response_model=RequestAnswer, responses=describe_refusals("not_found"))
async def show_request(user: User, id: str, parts: HistoryParts) -> Answer:  # noqa: A002  its name in the path
    """Show one request at a glance."""
    return Answer(ok(**await parts.overviews.show(id, user)))


@router.get("/replies", response_model=RepliesAnswer, responses=describe_refusals(*LISTING))
async def list_replies(user: User, query: Annotated[RepliesQuery, Query()], parts: HistoryParts) -> Answer:
    """List what people wrote back."""
    page = await parts.replies.find(query, user)
    return Answer(ok(replies=page.rows, next=page.next))


@router.get("/stats", response_model=StatsAnswer, responses=describe_refusals("wrong_type", "no_right"))
async def show_stats(user: User, query: Annotated[StatsQuery, Query()], parts: HistoryParts) -> Answer:
    """Count messages by hour or day."""
    as_of = parts.write_as_of()
    zone = parts.statistics.zone
    span = find_span(query, user, zone, parts.now())
    buckets = await parts.statistics.count(span)
    failures = await parts.statistics.count_failures(span)
    latencies = await parts.latencies.find(span.ownership, span.starts[0], span.starts[-1], by_day=span.bucket == "day")
    figures = {"buckets": buckets, "failures": failures, "latencies": latencies}
    return Answer(ok(bucket=span.bucket, timezone=zone.key, **figures, as_of=as_of))
