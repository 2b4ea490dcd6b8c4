"""What administrators do with followers of the official accounts."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from imsg_gateway.authentication import Credential
from imsg_gateway.authorization import allow_administrator
from imsg_gateway.follower_schemas import (
    BindingAnswer,
    FollowerAnswer,
    FollowersAnswer,
    FollowersQuery,
    NewBinding,
    NewBindingAnswer,
    RevocationAnswer,
)
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes.parts import GatewayParts
from imsg_gateway.routing import PublicRoute
from imsg_web.schemas import describe_refusals

Tag = Annotated[str, Path(json_schema_extra={"pattern": "^[0-9A-Za-z-]{9,32}$"})]

router = APIRouter(prefix="/api/v2/followers", route_class=PublicRoute)


@router.get(
    "",
    response_model=FollowersAnswer,
    responses=describe_refusals("no_right", "wrong_type", "no_such_account", "no_such_user"),
)
async def list_followers(
    administrator: Annotated[Credential, allow_administrator("followers")],
    request: ClientRequest,
    query: Annotated[FollowersQuery, Query()],
    parts: GatewayParts,
) -> Response:
    """List who follows the official accounts."""
    return await parts.followers.list(request, administrator, query)


@router.post(
    "/bind",
    response_model=NewBindingAnswer,
    responses=describe_refusals("no_right", "missing", "no_such_account", "no_such_user", "provider_refused"),
)
async def bind_follower(
    administrator: Annotated[Credential, allow_administrator("followers")],
    request: ClientRequest,
    body: NewBinding,
    parts: GatewayParts,
) -> Response:
    """Make a QR code by which a follower becomes a user's contact."""
    return await parts.followers.bind(request, administrator, body.account, body.username)


@router.get("/bind/{id}", response_model=BindingAnswer, responses=describe_refusals("no_right", "not_found"))
async def show_binding(
    administrator: Annotated[Credential, allow_administrator("followers")],
    request: ClientRequest,
    id: str,  # noqa: A002  its name in the path
    parts: GatewayParts,
) -> Response:
    """Show whether a code was scanned, and by whom."""
    return await parts.followers.show_binding(request, administrator, id)


@router.post(
    "/bind/{id}/confirm",
    response_model=BindingAnswer,
    responses=describe_refusals(
        "no_right", "not_found", "not_scanned", "code_expired", "no_such_user", "contact_taken"
    ),
)
async def confirm_binding(
    administrator: Annotated[Credential, allow_administrator("followers")],
    request: ClientRequest,
    id: str,  # noqa: A002  its name in the path
    parts: GatewayParts,
) -> Response:
    """Make the follower who scanned a code the user's contact."""
    return await parts.followers.confirm(request, administrator, id)


@router.post("/{tag}/renew", response_model=FollowerAnswer, responses=describe_refusals("no_right", "not_found"))
async def renew_tag(
    administrator: Annotated[Credential, allow_administrator("followers")],
    request: ClientRequest,
    tag: Tag,
    parts: GatewayParts,
) -> Response:
    """Give a follower another tag."""
    return await parts.followers.renew(request, administrator, tag)


@router.delete("/{tag}", response_model=RevocationAnswer, responses=describe_refusals("no_right", "not_found"))
async def revoke_tag(
    administrator: Annotated[Credential, allow_administrator("followers")],
    request: ClientRequest,
    tag: Tag,
    parts: GatewayParts,
) -> Response:
    """Take a tag away from its follower."""
    return await parts.followers.revoke(request, administrator, tag)
