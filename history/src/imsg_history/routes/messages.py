"""What users read of what they sent.

The finders make the answers as JSON objects; they go out as they are, and the models describe them.
"""

from typing import Annotated

from fastapi import APIRouter, Query

from imsg_contract.wire import message_id
from imsg_history.audit import EVERYBODY
from imsg_history.queries import (
    MessagesQuery,
    RepliesQuery,
    RequestQuery,
    RequestsQuery,
    StatsQuery,
    V1MessagesQuery,
)
from imsg_history.routes.dependencies import HistoryServices, RouteServices
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
from imsg_web.callers import Caller
from imsg_web.responses import ApiResponse, ok
from imsg_web.schemas import describe_refusals

LISTING = ("wrong_type", "method_unknown", "no_right")

router = APIRouter(prefix="/api", route_class=InternalRoute)


async def _audit_list_read(services: RouteServices, user: Caller, query: V1MessagesQuery | RepliesQuery) -> None:
    target = query.username or EVERYBODY
    if query.id is not None:
        target = query.id.request if query.id.n is None else message_id(query.id.request, query.id.n)
    await _audit_content_read(services, user, query.username, target)


async def _audit_content_read(services: RouteServices, user: Caller, owner: str | None, target: str) -> None:
    """Add an audit record where a user reads the messages of another `owner`, or of everybody: None.

    `target` is that user, request or message.
    """
    if user.sees_all and user.sees_content and owner != user.username:
        await services.audit.record_read(user, "content_read", target)


@router.get("/query", response_model=QueryAnswer, responses=describe_refusals(*LISTING))
async def list_messages_v1(
    user: User, query: Annotated[V1MessagesQuery, Query()], services: HistoryServices
) -> ApiResponse:
    """List messages, the newest first."""
    await _audit_list_read(services, user, query)
    page = await services.messages.find_v1(query, user)
    return ApiResponse(ok(messages=page.rows, next=page.next))


@router.get("/messages", response_model=MessagesAnswer, responses=describe_refusals(*LISTING))
async def list_messages(user: User, query: Annotated[MessagesQuery, Query()], services: HistoryServices) -> ApiResponse:
    """List messages, the newest first."""
    as_of = services.write_as_of()
    await _audit_list_read(services, user, query)
    page = await services.messages.find(query, user, services.prices.current)
    return ApiResponse(ok(messages=page.rows, next=page.next, total=page.total, as_of=as_of))


@router.get("/requests", response_model=RequestsAnswer, responses=describe_refusals(*LISTING))
async def list_requests(user: User, query: Annotated[RequestsQuery, Query()], services: HistoryServices) -> ApiResponse:
    """List requests, the newest first."""
    as_of = services.write_as_of()
    await _audit_list_read(services, user, query)
    page = await services.requests.find(query, user)
    return ApiResponse(ok(requests=page.rows, next=page.next, total=page.total, as_of=as_of))


@router.get("/requests/{id}", response_model=RequestAnswer, responses=describe_refusals("wrong_type", "not_found"))
async def show_request(
    user: User,
    id: str,  # noqa: A002  its name in the path
    query: Annotated[RequestQuery, Query()],
    services: HistoryServices,
) -> ApiResponse:
    """Show one request at a glance; with `wait` once it is settled."""
    shown = await services.requests.show(id, user, query.wait)
    await _audit_content_read(services, user, shown["username"], shown["id"])
    return ApiResponse(ok(**shown))


@router.get("/replies", response_model=RepliesAnswer, responses=describe_refusals(*LISTING))
async def list_replies(user: User, query: Annotated[RepliesQuery, Query()], services: HistoryServices) -> ApiResponse:
    """List what people wrote back."""
    await _audit_list_read(services, user, query)
    page = await services.replies.find(query, user)
    return ApiResponse(ok(replies=page.rows, next=page.next, total=page.total))


@router.get("/stats", response_model=StatsAnswer, responses=describe_refusals("wrong_type", "no_right"))
async def show_stats(user: User, query: Annotated[StatsQuery, Query()], services: HistoryServices) -> ApiResponse:
    """Count messages by hour or day."""
    as_of = services.write_as_of()
    zone = services.statistics.zone
    span = find_span(query, user, zone, services.now())
    buckets = await services.statistics.count(span)
    failures = await services.statistics.count_failures(span)
    latencies = await services.latencies.find(span)
    users = await services.users.find(span)
    figures = {"buckets": buckets, "failures": failures, "latencies": latencies, "users": users}
    return ApiResponse(ok(bucket=span.bucket, timezone=zone.key, **figures, as_of=as_of))
