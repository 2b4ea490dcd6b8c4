"""What only other services keep here and look up; the edge knows none of these paths."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_history.attachments import MAX_BYTES, Place
from imsg_history.filters import read_time
from imsg_history.routes.parts import HistoryParts
from imsg_web import bodies
from imsg_web.authorization import InternalRoute, User
from imsg_web.responses import Answer, ok

router = APIRouter(prefix="/internal", route_class=InternalRoute, include_in_schema=False)


@router.put("/attachments/{request_id}/{sha256}")
async def put_attachment(request_id: str, sha256: str, request: Request, parts: HistoryParts) -> Answer:
    """Keep an attachment's bytes."""
    expires_at = read_time(request.query_params, "expires_at")
    if expires_at is None:
        raise Refusal("missing", field="expires_at")
    body = await bodies.read(request.scope, request.receive, MAX_BYTES)
    await parts.attachments.put(Place.read(request_id, sha256), body, expires_at)
    return Answer(ok())


@router.get("/attachments/{request_id}/{sha256}")
async def get_attachment(request_id: str, sha256: str, parts: HistoryParts) -> Response:
    """Return an attachment's bytes."""
    body = await parts.attachments.get(Place.read(request_id, sha256))
    return Response(body, media_type="application/octet-stream")


@router.get("/recipients/{request_id}/{n}")
async def find_recipient(request_id: str, n: str, parts: HistoryParts) -> Answer:
    """Return to whom one message went, and as whose."""
    return Answer(ok(**await parts.addressees.find(f"{request_id}-{n}")))


@router.get("/resend/{name}")
async def draft_resend(user: User, name: str, parts: HistoryParts, uncertain: str = "", again: str = "") -> Answer:
    """Return what to send again of a request, or of one message."""
    draft = await parts.resends.draft(name, user, uncertain=uncertain == "1", again=again == "1")
    return Answer(ok(**draft))


@router.get("/dead/{name}")
async def draft_of_dead_letter(user: User, name: str, parts: HistoryParts, again: str = "") -> Answer:
    """Return what to send again of a dead letter."""
    return Answer(ok(**await parts.resends.draft_of_dead(name, user, again=again == "1")))
