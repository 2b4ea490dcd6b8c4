"""What users read of what they sent.

The finders make the answers as JSON objects; they go out as they are, and the models describe them.
"""

from typing import Annotated

from fastapi import APIRouter, Query

from imsg_history.filters import read_query
from imsg_history.query_schemas import FirstQuery, MessagesQuery, RepliesQuery, StatsQuery
from imsg_history.replies import read_filter
from imsg_history.routes.parts import HistoryParts
from imsg_history.schemas import (
    MessagesAnswer,
    QueryAnswer,
    RepliesAnswer,
    RequestAnswer,
    RequestsAnswer,
    StatsAnswer,
)
from imsg_history.stats import read_span
from imsg_web.authorization import InternalRoute, User
from imsg_web.responses import Answer, ok
from imsg_web.schemas import describe_refusals

LISTING = ("wrong_type", "method_unknown", "no_right")

router = APIRouter(prefix="/api", route_class=InternalRoute)


@router.get("/query", response_model=QueryAnswer, responses=describe_refusals(*LISTING))
async def query(user: User, given: Annotated[FirstQuery, Query()], parts: HistoryParts) -> Answer:
    """List messages, the newest first."""
    page = await parts.finder.find(read_query(given.list_given(), user))
    return Answer(ok(messages=page.messages, next=page.next))


@router.get("/messages", response_model=MessagesAnswer, responses=describe_refusals(*LISTING))
async def list_messages(user: User, given: Annotated[MessagesQuery, Query()], parts: HistoryParts) -> Answer:
    """List messages, the newest first."""
    as_of = parts.write_as_of()
    page = await parts.finder.find(read_query(given.list_given(), user, is_v2=True), is_v2=True)
    return Answer(ok(messages=page.messages, next=page.next, as_of=as_of))


@router.get("/requests", response_model=RequestsAnswer, responses=describe_refusals(*LISTING))
async def list_requests(user: User, given: Annotated[MessagesQuery, Query()], parts: HistoryParts) -> Answer:
    """List requests, the newest first."""
    as_of = parts.write_as_of()
    page = await parts.request_list.find(read_query(given.list_given(), user, is_v2=True))
    return Answer(ok(requests=page.requests, next=page.next, as_of=as_of))


@router.get("/requests/{id}", response_model=RequestAnswer, responses=describe_refusals("not_found"))
async def show_request(user: User, id: str, parts: HistoryParts) -> Answer:  # noqa: A002  its name in the path
    """Show one request at a glance."""
    return Answer(ok(**await parts.overviews.one(id, user)))


@router.get("/replies", response_model=RepliesAnswer, responses=describe_refusals(*LISTING))
async def list_replies(user: User, given: Annotated[RepliesQuery, Query()], parts: HistoryParts) -> Answer:
    """List what people wrote back."""
    page = await parts.replies.find(read_filter(given.list_given(), user))
    return Answer(ok(replies=page.replies, next=page.next))


@router.get("/stats", response_model=StatsAnswer, responses=describe_refusals("wrong_type", "no_right"))
async def show_stats(user: User, given: Annotated[StatsQuery, Query()], parts: HistoryParts) -> Answer:
    """Count messages by hour or day."""
    as_of = parts.write_as_of()
    span = read_span(given.list_given(), user, parts.counter.zone, parts.now())
    buckets = await parts.counter.count(span)
    failures = await parts.counter.count_causes(span)
    zone = parts.counter.zone.key
    return Answer(ok(bucket=span.bucket, timezone=zone, buckets=buckets, failures=failures, as_of=as_of))
