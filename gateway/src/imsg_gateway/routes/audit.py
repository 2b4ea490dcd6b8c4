"""The audit, which history keeps: a page of it as JSON, or all of it in lines."""

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from imsg_contract.roles import READERS
from imsg_gateway.authorization import allow
from imsg_gateway.credentials import Credential
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes.dependencies import GatewayServices
from imsg_gateway.routing import RelayRoute

NDJSON = "application/x-ndjson"

router = APIRouter(prefix="/api/v2", route_class=RelayRoute, include_in_schema=False)


@router.get("/audit")
async def list_audit(
    reader: Annotated[Credential, allow("audit", READERS)], request: ClientRequest, services: GatewayServices
) -> Response:
    """Pass on a page of the audit, or write all pages in lines."""
    if NDJSON in request.headers.get("accept", ""):
        return await services.relay.pass_on_lines("history", request, reader, "audit", NDJSON)
    return await services.relay.pass_on("history", request, reader)
