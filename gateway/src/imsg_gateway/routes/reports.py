"""The files of reports, which history keeps."""

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from imsg_gateway.authorization import allow
from imsg_gateway.credentials import Credential
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes.dependencies import GatewayServices
from imsg_gateway.routing import RelayRoute

router = APIRouter(prefix="/api/v2", route_class=RelayRoute, include_in_schema=False)


@router.get("/reports/{id}/file")
async def get_report_file(
    user: Annotated[Credential, allow("reports")],
    id: str,  # noqa: A002  its name in the path
    request: ClientRequest,
    services: GatewayServices,
) -> Response:
    """Pass on the file of a report."""
    del id  # in the path that is passed on
    return await services.relay.pass_on_file("history", request, user)
