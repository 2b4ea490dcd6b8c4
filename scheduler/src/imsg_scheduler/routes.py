"""Scheduler's routes, which the gateway relays."""

from dataclasses import dataclass
from typing import Annotated, NoReturn
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI

from imsg_contract import error_responses
from imsg_contract.errors import Refusal
from imsg_contract.send_times import read_send_at, write_time
from imsg_scheduler.audit import Audit
from imsg_scheduler.cancel_settling import AWAY
from imsg_scheduler.cancelling import Canceller
from imsg_scheduler.cancels import Totals
from imsg_scheduler.clock import RedisClock
from imsg_scheduler.schedule import Schedule
from imsg_scheduler.schemas import (
    CancelledAnswer,
    CancelRequests,
    HeldBy,
    MovedAnswer,
    NewTime,
    ReleasedAnswer,
    ReleasedCount,
)
from imsg_scheduler.tables import ALL_MESSAGES
from imsg_web.app import find_services, make_internal_app
from imsg_web.authorization import InternalRoute, Operator, Sender
from imsg_web.callers import Caller, CallerCheck
from imsg_web.schemas import describe_refusals

ID_DIGITS = 32
N_DIGITS = 9

MOVING = ("not_found", "not_scheduled", "already_due")


@dataclass(frozen=True, slots=True)
class RouteServices:
    """The services that routes call."""

    schedule: Schedule
    canceller: Canceller
    audit: Audit
    clock: RedisClock


def api(services: RouteServices, internal: CallerCheck) -> FastAPI:
    """Make the API."""
    app = make_internal_app("iMSG scheduler", internal, [router], AWAY)
    app.state.services = services
    return app


SchedulerServices = Annotated[RouteServices, Depends(find_services)]

router = APIRouter(prefix="/api", route_class=InternalRoute)


@router.patch(
    "/requests/{id}",
    responses=describe_refusals("no_right", *error_responses.BODY, "no_offset", "too_far", "in_past", *MOVING),
)
async def move_request(user: Sender, id: str, body: NewTime, services: SchedulerServices) -> MovedAnswer:  # noqa: A002  its name in the path
    """Let a scheduled request be sent at another time."""
    due_at = read_send_at(body.send_at, await services.clock.read())
    request = _read_id(id)
    job = await services.schedule.move(request, due_at, user)
    written = write_time(due_at)
    await services.audit.record(user, "move", request, {"due_at": written}, user_id=job.user_id, request=request)
    return MovedAnswer(id=request, due_at=written)


@router.post("/requests/{id}/release", responses=describe_refusals("no_right", *MOVING))
async def release_request(operator: Operator, id: str, services: SchedulerServices) -> ReleasedAnswer:  # noqa: A002
    """Send a scheduled or held request now, whatever the hour."""
    request = _read_id(id)
    job = await services.schedule.release(request, operator)
    await services.audit.record(operator, "release", request, {}, user_id=job.user_id, request=request)
    return ReleasedAnswer(id=request)


@router.post("/requests/release", responses=describe_refusals("no_right", *error_responses.BODY))
async def release_held(operator: Operator, body: HeldBy, services: SchedulerServices) -> ReleasedCount:
    """Send all that a window holds now, whatever the hour."""
    released = await services.schedule.release_held(body.held_by)
    await services.audit.record(operator, "release", body.held_by, {"released": released}, user_id="", request=None)
    return ReleasedCount(released=released)


@router.post("/requests/cancel", responses=describe_refusals("no_right", *error_responses.BODY))
async def cancel_requests(user: Sender, body: CancelRequests, services: SchedulerServices) -> CancelledAnswer:
    """Cancel what has not been sent yet of all requests of a reference, or what a window holds."""
    if body.reference is not None:
        user_id, totals = await services.canceller.cancel_by_reference(body.reference, body.username, user)
    else:
        user_id, totals = "", await services.canceller.cancel_held(body.held_by or "", user)
    target = body.reference or body.held_by or ""
    await services.audit.record(user, "cancel", target, totals._asdict(), user_id=user_id, request=None)
    return CancelledAnswer(**totals._asdict())


@router.post("/requests/{id}/cancel", responses=describe_refusals("no_right", "not_found"))
async def cancel_request(user: Sender, id: str, services: SchedulerServices) -> CancelledAnswer:  # noqa: A002
    """Cancel what has not been sent yet of a request."""
    return await _cancel(services, user, _read_id(id), ALL_MESSAGES)


@router.post("/messages/{id}/cancel", responses=describe_refusals("no_right", "not_found"))
async def cancel_message(user: Sender, id: str, services: SchedulerServices) -> CancelledAnswer:  # noqa: A002
    """Cancel one message that has not been sent yet."""
    request, dash, n = id.partition("-")
    if not (dash and n.isascii() and n.isdigit() and len(n) <= N_DIGITS):
        _refuse(id)
    return await _cancel(services, user, _read_id(request), int(n))


async def _cancel(services: RouteServices, user: Caller, request: str, n: int) -> CancelledAnswer:
    cancel = await services.canceller.cancel(request, n, user)
    totals = cancel.totals or Totals(0, 0, 0)
    target = request if n == ALL_MESSAGES else f"{request}-{n}"
    await services.audit.record(user, "cancel", target, totals._asdict(), user_id=cancel.user_id, request=request)
    return CancelledAnswer(**totals._asdict())


def _read_id(text: str) -> str:
    """Read the id of a request. Raises Refusal not_found for what is none."""
    try:
        return UUID(text).hex if len(text) == ID_DIGITS else _refuse(text)
    except ValueError:
        return _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise Refusal("not_found", what=text[:64].replace("\0", ""))
