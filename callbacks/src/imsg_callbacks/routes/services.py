"""What only other services ask."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json
from sqlalchemy import or_, select

from imsg_callbacks.routes.dependencies import CallbackServices
from imsg_callbacks.tables import log
from imsg_web.authorization import InternalRoute
from imsg_web.schemas import Success

router = APIRouter(prefix="/internal", route_class=InternalRoute, include_in_schema=False)


class EventsOfQuery(BaseModel):
    """The query of GET /internal/events."""

    model_config = ConfigDict(frozen=True)

    method: str
    to: str
    limit: Annotated[int, Field(ge=1, le=500)] = 500
    cursor: int = 0


class EventsOfAnswer(Success):
    """A page of the events that name an address."""

    events: list[dict[str, Any]]
    next: str | None


@router.get("/events")
async def list_events_of(query: Annotated[EventsOfQuery, Query()], services: CallbackServices) -> EventsOfAnswer:
    """List the events of the log that are about an address, or mention it."""
    digests = services.digests.all_of(query.to) if services.digests else ()
    is_about = or_(*(log.c.digests.contains(digest) for digest in digests))
    statement = select(log.c.number, log.c.body).where(log.c.number > query.cursor, is_about)
    async with services.database.reading() as connection:
        rows = (await connection.execute(statement.order_by(log.c.number).limit(query.limit + 1))).all()
    page = rows[: query.limit]
    return EventsOfAnswer(
        events=[from_json(row.body) for row in page],
        next=str(page[-1].number) if len(rows) > query.limit else None,
    )
