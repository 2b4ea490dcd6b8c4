"""The route by which a user reads events in order."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic_core import to_json
from starlette.responses import Response

from imsg_callbacks.routes.dependencies import CallbackServices, EndpointOwner
from imsg_callbacks.schemas import EventsAnswer, EventsQuery
from imsg_web.authorization import InternalRoute
from imsg_web.responses import JSON
from imsg_web.schemas import describe_refusals

router = APIRouter(prefix="/api/events", route_class=InternalRoute)


@router.get("", response_model=EventsAnswer, responses=describe_refusals("wrong_type", "cursor_expired"))
async def read_events(
    owner: EndpointOwner, query: Annotated[EventsQuery, Query()], services: CallbackServices
) -> Response:
    """Read events in order."""
    await services.listeners.record_read(owner.user_id, owner.username, is_admin=owner.is_admin)
    as_of = await services.find_as_of()
    page = await services.reader.read(owner.user_id, query.after or None, query.wait, query.limit)
    # The bodies are stored as JSON and are not parsed again.
    head = b'{"errorCode":0,"errorMessage":"OK","events":['
    tail = b'],"next":' + to_json(page.next) + b',"as_of":' + to_json(as_of) + b"}"
    return Response(head + ",".join(page.bodies).encode() + tail, media_type=JSON)
