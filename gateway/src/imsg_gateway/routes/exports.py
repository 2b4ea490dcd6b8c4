"""A person's copy, as administrators ask for it."""

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from imsg_contract.roles import ADMINISTRATORS
from imsg_gateway.authorization import allow
from imsg_gateway.credentials import Credential
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes.dependencies import GatewayServices
from imsg_gateway.routing import PublicRoute, RelayRoute
from imsg_gateway.schemas import ExportBegun, NewExport
from imsg_web.responses import ApiResponse, ok
from imsg_web.schemas import describe_refusals

OBSTACLES = ("no_right", "missing", "recipients_invalid", "no_such_user")

router = APIRouter(prefix="/api/v2", route_class=PublicRoute)
files = APIRouter(prefix="/api/v2", route_class=RelayRoute, include_in_schema=False)


@router.post("/exports", status_code=202, response_model=ExportBegun, responses=describe_refusals(*OBSTACLES))
async def begin_export(
    administrator: Annotated[Credential, allow(None, ADMINISTRATORS)], body: NewExport, services: GatewayServices
) -> Response:
    """Make a copy of all that is kept of a person."""
    caller = await administrator.authenticate()
    return ApiResponse(ok(id=await services.exports.begin(caller, body.method, body.to, body.username)), 202)


@files.get("/exports/{id}/file")
async def get_export_file(
    administrator: Annotated[Credential, allow(None, ADMINISTRATORS)],
    id: str,  # noqa: A002  its name in the path
    request: ClientRequest,
    services: GatewayServices,
) -> Response:
    """Pass on the file of a person's copy."""
    del id  # in the path that is passed on
    return await services.relay.pass_on_file("history", request, administrator)
