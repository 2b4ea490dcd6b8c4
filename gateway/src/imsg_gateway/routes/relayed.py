"""The routes that other services answer. Each service describes its own, under `/api` in place of `/api/v2`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from imsg_gateway.authorization import ANY_SCOPE, allow, check_fields
from imsg_gateway.credentials import Credential
from imsg_gateway.relay import Owner
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes.channels import relayed as provider_routes
from imsg_gateway.routes.dependencies import GatewayServices
from imsg_gateway.routes.erasures import router as erasure_routes
from imsg_gateway.routes.reports import router as report_routes
from imsg_gateway.routes.suppressions import router as suppression_routes
from imsg_gateway.routing import OpenRelayRoute, RelayRoute

PREFIX = "/api/v2"

RELAYED: Mapping[Owner, Mapping[str, str | None]] = {
    "auth": {
        "POST /register": "users",
        "POST /logout": None,
        "POST /password": None,
        "GET /me": ANY_SCOPE,
        "GET /keys": None,
        "POST /keys": None,
        "PATCH /keys/{id}": None,
        "DELETE /keys/{id}": None,
        "POST /keys/{id}/rotate": None,
        "GET /users": "users",
        "GET /users/{username}": "users",
        "PATCH /users/{username}": "users",
        "DELETE /users/{username}": "users",
        "GET /users/{username}/quotas": None,
        "PUT /users/{username}/quotas": None,
        "GET /quotas": None,
        "PUT /quotas": None,
        "GET /caps": None,
        "PUT /caps": None,
    },
    "history": {
        "GET /messages": "query",
        "GET /requests": "query",
        "GET /requests/{id}": "query",
        "GET /replies": "query",
        "GET /stats": "query",
        "GET /dead": "query",
        "GET /dead/{id}": "query",
        "DELETE /dead/{id}": "query",
        "GET /erasures": "erasures",
        "GET /erasures/{id}": "erasures",
        "POST /reports": "reports",
        "GET /reports": "reports",
        "GET /reports/{id}": "reports",
    },
    "catalog": {
        "POST /suppressions": "suppressions",
        "DELETE /suppressions/{id}": "suppressions",
    },
    "callbacks": {
        "GET /callbacks": "callbacks",
        "POST /callbacks": "callbacks",
        "GET /callbacks/{id}": "callbacks",
        "PATCH /callbacks/{id}": "callbacks",
        "DELETE /callbacks/{id}": "callbacks",
        "POST /callbacks/{id}/test": "callbacks",
        "POST /callbacks/{id}/rotate": "callbacks",
        "POST /callbacks/{id}/recover": "callbacks",
        "GET /callbacks/{id}/deliveries": "callbacks",
        "POST /callbacks/{id}/deliveries/{event}/resend": "callbacks",
        "GET /events": "events",
    },
    "wechat": {
        "GET /followers": "followers",
        "POST /followers/bind": "followers",
        "GET /followers/bind/{id}": "followers",
        "POST /followers/bind/{id}/confirm": "followers",
        "POST /followers/{tag}/renew": "followers",
        "DELETE /followers/{tag}": "followers",
    },
}
"""Service → its routes that users call, and the scope that a key needs; None: no key may call it.

The service checks the right of the user; the gateway has verified the token or key.
"""

TIMEOUTS_S = {
    "GET /requests/{id}": 75.0,  # it waits up to 60 s until the request is settled
    "GET /events": 75.0,  # it waits up to 60 s for an event
    "POST /callbacks/{id}/test": 25.0,  # the callback has 15 s
    "POST /followers/bind": 20.0,  # WeChat, which makes the code, has 15 s
}

login = APIRouter(
    prefix=PREFIX, route_class=OpenRelayRoute, include_in_schema=False, dependencies=[Depends(check_fields)]
)


@login.post("/login")
async def log_in(request: ClientRequest, services: GatewayServices) -> Response:
    """Relay a log-in to auth."""
    return await services.relay.pass_on("auth", request, None)


@login.post("/keys/leaked")
async def report_leaked_key(request: ClientRequest, services: GatewayServices) -> Response:
    """Relay to auth that a key was found in public."""
    return await services.relay.pass_on("auth", request, None)


def _make_endpoint(owner: Owner, scope: str | None, timeout_s: float | None) -> Callable[..., Awaitable[Response]]:
    async def pass_on(
        user: Annotated[Credential, allow(scope)], request: ClientRequest, services: GatewayServices
    ) -> Response:
        return await services.relay.pass_on(owner, request, user, timeout_s)

    return pass_on


def _make_router() -> APIRouter:
    router = APIRouter(prefix=PREFIX, route_class=RelayRoute, include_in_schema=False)
    for owner, routes in RELAYED.items():
        for route, scope in routes.items():
            verb, path = route.split()
            router.add_api_route(path, _make_endpoint(owner, scope, TIMEOUTS_S.get(route)), methods=[verb])
    return router


ROUTERS = (login, _make_router(), provider_routes, erasure_routes, report_routes, suppression_routes)
