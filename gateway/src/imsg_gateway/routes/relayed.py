"""The routes that other services answer. Each service describes its own, under `/api` in place of `/api/v2`."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Depends
from starlette.responses import Response

from imsg_gateway.authorization import User, check_fields
from imsg_gateway.relay import Owner
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes.channels import relayed as provider_routes
from imsg_gateway.routes.erasures import router as erasure_routes
from imsg_gateway.routes.parts import GatewayParts
from imsg_gateway.routes.reports import router as report_routes
from imsg_gateway.routing import OpenRelayRoute, RelayRoute

PREFIX = "/api/v2"

RELAYED: Mapping[Owner, tuple[str, ...]] = {
    "auth": (
        "POST /register",
        "POST /logout",
        "POST /password",
        "GET /me",
        "GET /users",
        "GET /users/{username}",
        "PATCH /users/{username}",
        "DELETE /users/{username}",
    ),
    "history": (
        "GET /messages",
        "GET /requests",
        "GET /requests/{id}",
        "GET /replies",
        "GET /stats",
        "GET /dead",
        "GET /dead/{id}",
        "GET /erasures/{id}",
        "POST /reports",
        "GET /reports",
        "GET /reports/{id}",
    ),
    "catalog": (
        "GET /suppressions",
        "POST /suppressions",
        "DELETE /suppressions/{id}",
    ),
    "callbacks": (
        "GET /callbacks",
        "POST /callbacks",
        "PATCH /callbacks/{id}",
        "DELETE /callbacks/{id}",
        "POST /callbacks/{id}/test",
        "POST /callbacks/{id}/rotate",
        "POST /callbacks/{id}/recover",
        "GET /callbacks/{id}/deliveries",
        "POST /callbacks/{id}/deliveries/{event}/resend",
        "GET /events",
    ),
}
"""Service → its routes that users call. The service checks the right; the gateway has verified the token."""

TIMEOUTS_S = {
    "GET /events": 75.0,  # it waits up to 60 s for an event
    "POST /callbacks/{id}/test": 25.0,  # the callback has 15 s
}

login = APIRouter(
    prefix=PREFIX, route_class=OpenRelayRoute, include_in_schema=False, dependencies=[Depends(check_fields)]
)


@login.post("/login")
async def log_in(request: ClientRequest, parts: GatewayParts) -> Response:
    """Relay a log-in to auth."""
    return await parts.relay.pass_on("auth", request, None)


def _make_endpoint(owner: Owner, timeout_s: float | None) -> Callable[..., Awaitable[Response]]:
    async def pass_on(user: User, request: ClientRequest, parts: GatewayParts) -> Response:
        return await parts.relay.pass_on(owner, request, user, timeout_s)

    return pass_on


def _make_router() -> APIRouter:
    router = APIRouter(prefix=PREFIX, route_class=RelayRoute, include_in_schema=False)
    for owner, routes in RELAYED.items():
        for route in routes:
            verb, path = route.split()
            router.add_api_route(path, _make_endpoint(owner, TIMEOUTS_S.get(route)), methods=[verb])
    return router


ROUTERS = (login, _make_router(), provider_routes, erasure_routes, report_routes)
