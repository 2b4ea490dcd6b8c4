"""The routes of an endpoint's deliveries: list, resend, recover."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import insert, select

from imsg_callbacks.event_log import find_head
from imsg_callbacks.routes.dependencies import CallbackServices, EndpointOwner
from imsg_callbacks.schemas import DeliveriesAnswer, DeliveriesQuery, DeliveryShape, Recovery, RecoveryAnswer
from imsg_callbacks.tables import log as events
from imsg_callbacks.tables import recoveries
from imsg_callbacks.times import rfc3339, to_ms
from imsg_contract.error_responses import BODY
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_database.database import Database
from imsg_web.authorization import InternalRoute, User
from imsg_web.schemas import Success, describe_refusals

RECOVERED_MS = 14 * 86_400_000
"""How far back a recovery may go."""

router = APIRouter(prefix="/api/callbacks/{id}", route_class=InternalRoute)


@router.post("/recover", status_code=202, responses=describe_refusals(*BODY, "not_found"))
async def recover(
    user: User,
    owner: EndpointOwner,
    id: str,  # noqa: A002  its name in the path
    body: Recovery,
    services: CallbackServices,
) -> RecoveryAnswer:
    """Resend the undelivered events of a period."""
    await services.endpoints.find(id, owner.user_id)
    since, until = to_ms(body.since), services.now() if body.until is None else to_ms(body.until)
    if not services.now() - RECOVERED_MS <= since < until:
        raise Refusal(
            "wrong_type",
            field="since",
            why_zh="应早于 until，且不早于 14 天前",
            why_en="it must be before `until`, and not more than 14 days ago",
        )
    period = {"since": rfc3339(since), "until": rfc3339(until)}
    await services.audit.write(user, "callback_recovered", id, after=period)
    await _begin_recovery(services.database, id, since, until)
    return RecoveryAnswer(**period)


@router.get("/deliveries", responses=describe_refusals("not_found", "wrong_type"))
async def list_deliveries(
    owner: EndpointOwner,
    id: str,  # noqa: A002  as above
    query: Annotated[DeliveriesQuery, Query()],
    services: CallbackServices,
) -> DeliveriesAnswer:
    """List the deliveries of an endpoint."""
    await services.endpoints.find(id, owner.user_id)
    rows, cursor = await services.deliveries.list_page(id, query.state, query.limit, query.cursor or None)
    return DeliveriesAnswer(deliveries=[DeliveryShape(**row) for row in rows], next=cursor)


@router.post("/deliveries/{event}/resend", status_code=202, responses=describe_refusals("not_found"))
async def resend_delivery(
    user: User,
    owner: EndpointOwner,
    id: str,  # noqa: A002  its name in the path
    event: str,
    services: CallbackServices,
) -> Success:
    """Send one event again."""
    await services.endpoints.find(id, owner.user_id)
    await services.audit.write(user, "callback_resent", id, after={"event": event[:80]})
    await services.deliveries.resend(id, event)
    services.dispatcher.wake()
    return Success()


async def _begin_recovery(database: Database, endpoint: str, since: int, until: int) -> None:
    async with database.writing() as connection:
        first = await connection.scalar(
            select(events.c.number)
            .where(events.c.kept_at >= since)
            .order_by(events.c.kept_at, events.c.number)
            .limit(1)
        )
        position = (first if first is not None else await find_head(connection) + 1) - 1
        row = {"id": new_id(), "endpoint": endpoint, "position": position, "until": until}
        await connection.execute(insert(recoveries).values(row))
