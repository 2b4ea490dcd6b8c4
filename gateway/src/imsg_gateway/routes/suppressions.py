"""The list of suppressions: administrators see all, users what failed their own messages."""

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from imsg_gateway.authorization import allow
from imsg_gateway.credentials import Credential
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes.dependencies import GatewayServices
from imsg_gateway.routing import RelayRoute

router = APIRouter(prefix="/api/v2", route_class=RelayRoute, include_in_schema=False)


@router.get("/suppressions")
async def list_suppressions(
    user: Annotated[Credential, allow("suppressions")], request: ClientRequest, services: GatewayServices
) -> Response:
    """Return the catalog's list; of a user the suppressed recipients that the user's messages did not reach."""
    if (await user.authenticate()).sees_all:
        return await services.relay.pass_on("catalog", request, user)
    return await services.failed_suppressions.list(request, user)
