"""The services behind the routes, as a FastAPI dependency."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from imsg_gateway.authentication import Authenticator
from imsg_gateway.channels import Channels
from imsg_gateway.check import Checker
from imsg_gateway.erasures import ErasureGuard
from imsg_gateway.exports import Exports
from imsg_gateway.failed_suppressions import FailedSuppressions
from imsg_gateway.openapi.document import Document
from imsg_gateway.reader_page import Reader
from imsg_gateway.relay import Relay
from imsg_gateway.request import ClientRequest
from imsg_gateway.send import SendHandler
from imsg_gateway.status import Status
from imsg_web.clients import Clients


@dataclass(frozen=True, slots=True)
class RouteServices:
    """The services that routes call."""

    authenticator: Authenticator
    clients: Clients
    sending: SendHandler
    checker: Checker
    channels: Channels
    status: Status
    erasures: ErasureGuard
    failed_suppressions: FailedSuppressions
    relay: Relay
    exports: Exports
    document: Document
    reader: Reader


def find_services(request: ClientRequest) -> RouteServices:
    """Return the services from the app's state."""
    services: RouteServices = request.app.state.services
    return services


async def depend_on_services(request: ClientRequest) -> RouteServices:
    """Return the services; async, since FastAPI runs other dependencies in a thread."""
    return find_services(request)


GatewayServices = Annotated[RouteServices, Depends(depend_on_services)]
