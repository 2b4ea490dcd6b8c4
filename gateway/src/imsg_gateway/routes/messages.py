"""Sending, checking and resending of messages."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_contract.roles import OPERATORS, SENDERS
from imsg_gateway.authorization import SEND_SCOPE, allow
from imsg_gateway.credentials import Credential
from imsg_gateway.request import ClientRequest
from imsg_gateway.resend import ResendRequest
from imsg_gateway.routes.dependencies import GatewayServices, find_services
from imsg_gateway.routing import PublicRoute, SendRoute
from imsg_gateway.schemas import MESSAGE_FIELDS, CheckAnswer, DeadResend, MessageRequest, Resend, SendAnswer
from imsg_web.responses import refuse_unknown_field
from imsg_web.schemas import describe_refusals

FIELDS = (
    "method_unknown", "content_shape", "attachment_shape", "recipients_invalid", "not_following", "no_such_account",
    "no_such_group",
)  # fmt: skip
TIMES = ("no_offset", "too_far", "in_past")
LIMITS = ("per_hour_used_up", "per_day_used_up", "recipients_per_day_used_up", "quota_used_up", "recipient_cap")
ACCEPTING = (
    "country_not_allowed",
    "sending_disabled",
    "key_reused",
    "in_progress",
    "no_provider",
    "not_accepted",
    "broker_blocked",
    "outcome_unknown",
)
SENDING = ("missing", *FIELDS, *TIMES, *LIMITS, "too_many_tries", *ACCEPTING)
RESENDING = (
    "not_found", "nothing_to_resend", "already_resent", "not_a_test", "content_erased", "redacted", *LIMITS, *ACCEPTING,
)  # fmt: skip

_HEADERS = {
    name: {"description": description, "schema": {"type": "string"}}
    for name, description in {
        "RateLimit-Policy": "The limits of this user (IETF draft).",
        "RateLimit": "What is left of them, and in how many seconds they open again.",
        "Location": "The URL of the request: `/api/v2/requests/` and its `id`.",
        "Idempotent-Replayed": "`true` where this is an earlier answer.",
    }.items()
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key and body within 24 h get the first answer again, uncounted.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
}
_KEYED: Mapping[str, Any] = {
    "status_code": 202,
    "response_model": SendAnswer,
    "openapi_extra": {"parameters": [_IDEMPOTENCY_KEY]},
}
"""What the routes that take an idempotency key have in common."""

router = APIRouter(prefix="/api/v2", route_class=PublicRoute)
sending = APIRouter(prefix="/api/v2", route_class=SendRoute, dependencies=[allow(SEND_SCOPE, SENDERS)])


def describe(*reasons: str) -> dict[int | str, dict[str, Any]]:
    """Describe the answers of a route that takes an idempotency key."""
    return {202: {"headers": _HEADERS}, **describe_refusals(*reasons)}


@sending.post("/messages", responses=describe(*SENDING, "may_not_send_codes"), **_KEYED)
async def send_message(request: ClientRequest, body: MessageRequest) -> Response:
    """Send a message."""
    del body
    services = find_services(request)
    credential = services.authenticator.read(request.token, request.address)
    if (unknown := _find_unknown(request)) is not None:
        await credential.authenticate_sender()
        raise unknown
    return await services.sending.send(request, credential)


@sending.post(
    "/messages/check",
    response_model=CheckAnswer,
    responses=describe_refusals("missing", *FIELDS, *TIMES, "too_many_tries", "may_not_send_codes", "no_provider"),
)
async def check_message(request: ClientRequest, body: MessageRequest) -> Response:
    """Check a send without sending or counting anything."""
    del body
    services = find_services(request)
    credential = services.authenticator.read(request.token, request.address)
    await credential.authenticate_sender()
    if (unknown := _find_unknown(request)) is not None:
        raise unknown
    return await services.checker.check(request, credential)


def _find_unknown(request: ClientRequest) -> Refusal | None:
    """Return the refusal of the first field or parameter that a message does not have."""
    name = next((name for name in request.fields if name not in MESSAGE_FIELDS), None)
    if name is not None:
        return refuse_unknown_field(name, MESSAGE_FIELDS)
    return refuse_unknown_field(request.query[0][0], ()) if request.query else None


@router.post("/resend", responses=describe("missing", *RESENDING), **_KEYED)
async def resend(
    user: Annotated[Credential, allow(SEND_SCOPE, SENDERS)],
    request: ClientRequest,
    body: Resend,
    services: GatewayServices,
) -> Response:
    """Send again what failed, as a new request."""
    wanted = ResendRequest(body.id, again=bool(body.again), uncertain=bool(body.uncertain))
    return await services.sending.resend(request, user, wanted)


@router.post("/dead/{id}/resend", responses=describe(*RESENDING, "no_right"), **_KEYED)
async def resend_dead_letter(
    operator: Annotated[Credential, allow(SEND_SCOPE, OPERATORS)],
    request: ClientRequest,
    id: str,  # noqa: A002  its name in the path
    services: GatewayServices,
    body: DeadResend | None = None,
) -> Response:
    """Send anew what a dead letter held back."""
    wanted = ResendRequest(id, again=body is not None and bool(body.again), is_dead_letter=True)
    return await services.sending.resend(request, operator, wanted)
