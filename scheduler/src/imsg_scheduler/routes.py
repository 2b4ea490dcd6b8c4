"""Scheduler's routes, which the gateway relays."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, NoReturn
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_contract import error_responses
from imsg_contract.errors import Refusal
from imsg_contract.send_times import read_send_at, write_time
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_scheduler.schedule import Schedule
from imsg_scheduler.schemas import HeldBy, MovedAnswer, NewTime, ReleasedAnswer, ReleasedCount
from imsg_web.app import find_services, make_internal_app
from imsg_web.authorization import InternalRoute, Operator, Sender
from imsg_web.callers import CallerCheck
from imsg_web.schemas import describe_refusals
from imsg_web.service_client import ServiceUnavailable

UNAVAILABLE = (
    DatabaseUnavailable,
    RedisUnavailable,
    RedisRefused,
    PublishRefused,
    PublishUnknown,
    ServiceUnavailable,
)
"""What a route may find unavailable."""

ID_DIGITS = 32

MOVING = ("not_found", "not_scheduled", "already_due")


@dataclass(frozen=True, slots=True)
class RouteServices:
    """What the routes call."""

    schedule: Schedule
    now: Callable[[], datetime]


def api(services: RouteServices, internal: CallerCheck) -> FastAPI:
    """Make the API."""
    app = make_internal_app("iMSG scheduler", internal, [router], UNAVAILABLE)
    app.state.services = services
    return app


SchedulerServices = Annotated[RouteServices, Depends(find_services)]

router = APIRouter(prefix="/api/requests", route_class=InternalRoute)


@router.patch(
    "/{id}", responses=describe_refusals("no_right", *error_responses.BODY, "no_offset", "too_far", "in_past", *MOVING)
)
async def move_request(user: Sender, id: str, body: NewTime, services: SchedulerServices) -> MovedAnswer:  # noqa: A002  its name in the path
    """Let a scheduled request be sent at another time."""
    due_at = read_send_at(body.send_at, services.now())
    request = _read_id(id)
    await services.schedule.move(request, due_at, user)
    return MovedAnswer(id=request, due_at=write_time(due_at))


@router.post("/{id}/release", responses=describe_refusals("no_right", *MOVING))
async def release_request(operator: Operator, id: str, services: SchedulerServices) -> ReleasedAnswer:  # noqa: A002
    """Send a scheduled or held request now, whatever the hour."""
    request = _read_id(id)
    await services.schedule.release(request, operator)
    return ReleasedAnswer(id=request)


@router.post("/release", responses=describe_refusals("no_right", *error_responses.BODY))
async def release_held(_: Operator, body: HeldBy, services: SchedulerServices) -> ReleasedCount:
    """Send all that a window holds now, whatever the hour."""
    return ReleasedCount(released=await services.schedule.release_held(body.held_by))


def _read_id(text: str) -> str:
    """Read the id of a request. Raises Refusal not_found for what is none."""
    try:
        return UUID(text).hex if len(text) == ID_DIGITS else _refuse(text)
    except ValueError:
        return _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise Refusal("not_found", what=text[:64].replace("\0", ""))
