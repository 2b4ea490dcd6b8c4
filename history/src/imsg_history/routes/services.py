"""What only other services keep here and look up; the edge knows none of these paths."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_history.attachments import MAX_BYTES, AttachmentKey
from imsg_history.query_fields import read_time
from imsg_history.routes.dependencies import HistoryServices
from imsg_web import bodies
from imsg_web.authorization import InternalRoute, User
from imsg_web.responses import ApiResponse, ok

MAX_FAILED = 1_000
"""Failed messages of a user whose recipients are returned."""

router = APIRouter(prefix="/internal", route_class=InternalRoute, include_in_schema=False)


@router.put("/attachments/{request_id}/{sha256}")
async def put_attachment(
    request_id: str, sha256: str, request: Request, services: HistoryServices, expires_at: str | None = None
) -> ApiResponse:
    """Store an attachment's bytes."""
    if expires_at is None:
        raise Refusal("missing", field="expires_at")
    expiry = read_time(expires_at, "expires_at")
    body = await bodies.read(request.scope, request.receive, MAX_BYTES)
    await services.attachments.put(AttachmentKey.read(request_id, sha256), body, expiry)
    return ApiResponse(ok())


@router.get("/attachments/{request_id}/{sha256}")
async def get_attachment(request_id: str, sha256: str, services: HistoryServices) -> Response:
    """Return an attachment's bytes."""
    body = await services.attachments.get(AttachmentKey.read(request_id, sha256))
    return Response(body, media_type="application/octet-stream")


@router.get("/recipients/{request_id}/{n}")
async def find_recipient(request_id: str, n: str, services: HistoryServices) -> ApiResponse:
    """Return the recipient of one message, with its category and sender."""
    return ApiResponse(ok(**await services.recipients.find(f"{request_id}-{n}")))


@router.get("/failed")
async def find_failed(user: User, services: HistoryServices) -> ApiResponse:
    """Return the recipients of a user's last failed messages: each address, and what the user wrote."""
    return ApiResponse(ok(recipients=await services.messages.find_failed(user, MAX_FAILED)))


@router.get("/open/{name}")
async def find_open(user: User, name: str, services: HistoryServices) -> ApiResponse:
    """Return which messages of a request, or whether one message, can still be cancelled."""
    return ApiResponse(ok(**await services.open_messages.find(name, user)))


@router.get("/open")
async def list_open(
    user: User, services: HistoryServices, reference: str, username: str = "", after: str = ""
) -> ApiResponse:
    """Return how many messages of the requests of a reference can still be cancelled."""
    found = await services.open_messages.list_by_reference(reference, username or None, after, user)
    return ApiResponse(ok(requests=found))


@router.get("/resend/{name}")
async def draft_resend(
    user: User, name: str, services: HistoryServices, uncertain: str = "", again: str = ""
) -> ApiResponse:
    """Return a draft that resends a request, or one message."""
    draft = await services.resends.draft(name, user, uncertain=uncertain == "1", again=again == "1")
    if draft["user_id"] != user.user_id:
        await services.audit.record(user, "resend", name, target_id=draft["user_id"], request=draft["request"])
    return ApiResponse(ok(**draft))


@router.get("/dead/{name}")
async def draft_dead_letter(user: User, name: str, services: HistoryServices, again: str = "") -> ApiResponse:
    """Return a draft that resends a dead letter."""
    draft = await services.resends.draft_dead_letter(name, user, again=again == "1")
    await services.audit.record(user, "dead_letter_resend", name, target_id=draft["user_id"], request=draft["request"])
    return ApiResponse(ok(**draft))
