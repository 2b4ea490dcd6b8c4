"""What only other services keep here and look up; the edge knows none of these paths."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_history.attachments import MAX_BYTES, AttachmentKey
from imsg_history.query_fields import read_time
from imsg_history.routes.parts import HistoryParts
from imsg_web import bodies
from imsg_web.authorization import InternalRoute, User
from imsg_web.responses import Answer, ok

router = APIRouter(prefix="/internal", route_class=InternalRoute, include_in_schema=False)


@router.put("/attachments/{request_id}/{sha256}")
async def put_attachment(
    request_id: str, sha256: str, request: Request, parts: HistoryParts, expires_at: str | None = None
) -> Answer:
    """Keep an attachment's bytes."""
    if expires_at is None:
        raise Refusal("missing", field="expires_at")
    expiry = read_time(expires_at, "expires_at")
    body = await bodies.read(request.scope, request.receive, MAX_BYTES)
    await parts.attachments.put(AttachmentKey.read(request_id, sha256), body, expiry)
    return Answer(ok())


@router.get("/attachments/{request_id}/{sha256}")
async def get_attachment(request_id: str, sha256: str, parts: HistoryParts) -> Response:
    """Return an attachment's bytes."""
    body = await parts.attachments.get(AttachmentKey.read(request_id, sha256))
    return Response(body, media_type="application/octet-stream")


@router.get("/recipients/{request_id}/{n}")
async def find_recipient(request_id: str, n: str, parts: HistoryParts) -> Answer:
    """Return the recipient of one message, with its category and sender."""
    return Answer(ok(**await parts.recipients.find(f"{request_id}-{n}")))


@router.get("/resend/{name}")
async def draft_resend(user: User, name: str, parts: HistoryParts, uncertain: str = "", again: str = "") -> Answer:
    """Draft what to send again of a request, or of one message."""
    draft = await parts.resends.draft(name, user, uncertain=uncertain == "1", again=again == "1")
    return Answer(ok(**draft))


@router.get("/dead/{name}")
async def draft_dead_letter(user: User, name: str, parts: HistoryParts, again: str = "") -> Answer:
    """Draft what to send again of a dead letter."""
    return Answer(ok(**await parts.resends.draft_dead_letter(name, user, again=again == "1")))
