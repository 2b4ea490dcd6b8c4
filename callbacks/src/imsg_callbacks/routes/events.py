"""A user's events, read in order."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic_core import to_json
from starlette.responses import Response

from imsg_callbacks.routes.dependencies import CallbackParts, EndpointOwner
from imsg_callbacks.schemas import EventsAnswer, EventsQuery
from imsg_web.authorization import InternalRoute
from imsg_web.responses import JSON
from imsg_web.schemas import describe_refusals

router = APIRouter(prefix="/api/events", route_class=InternalRoute)


@router.get("", response_model=EventsAnswer, responses=describe_refusals("wrong_type", "cursor_expired"))
async def read_events(owner: EndpointOwner, query: Annotated[EventsQuery, Query()], parts: CallbackParts) -> Response:
    """Read events in order."""
    await parts.listeners.note_read(owner.user_id, owner.username, is_admin=owner.is_admin)
    as_of = await parts.find_as_of()
    found = await parts.reader.read(owner.user_id, query.after or None, query.wait, query.limit)
    # The bodies are kept as JSON: they go out as they are, unread.
    head = b'{"errorCode":0,"errorMessage":"OK","events":['
    tail = b'],"next":' + to_json(found.next) + b',"as_of":' + to_json(as_of) + b"}"
    return Response(head + ",".join(found.bodies).encode() + tail, media_type=JSON)
