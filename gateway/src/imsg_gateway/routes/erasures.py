"""The beginning of an erasure, which history completes."""

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from imsg_contract.roles import ADMINISTRATORS
from imsg_gateway.authorization import allow
from imsg_gateway.credentials import Credential
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes.dependencies import GatewayServices
from imsg_gateway.routing import RelayRoute

router = APIRouter(prefix="/api/v2", route_class=RelayRoute, include_in_schema=False)


@router.post("/erasures")
async def begin_erasure(
    administrator: Annotated[Credential, allow("erasures", ADMINISTRATORS)],
    request: ClientRequest,
    services: GatewayServices,
) -> Response:
    """Relay an erasure to history, unless the address is a user's."""
    await services.erasures.check(request.fields.get("method"), request.fields.get("to"))
    return await services.relay.pass_on("history", request, administrator)
