"""The routes that other services answer. Each service describes its own, under `/api` in place of `/api/v2`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends
from starlette.responses import Response

from imsg_contract.api_keys import SEND_BY_ANY
from imsg_contract.roles import ADMINISTRATORS, EVERYBODY, OPERATORS, READERS, SENDERS, Roles
from imsg_gateway.authorization import ANY_SCOPE, allow, check_fields
from imsg_gateway.credentials import Credential
from imsg_gateway.relay import Owner
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes.audit import router as audit_routes
from imsg_gateway.routes.channels import relayed as provider_routes
from imsg_gateway.routes.dependencies import GatewayServices
from imsg_gateway.routes.erasures import router as erasure_routes
from imsg_gateway.routes.exports import files as export_files
from imsg_gateway.routes.reports import router as report_routes
from imsg_gateway.routes.suppressions import router as suppression_routes
from imsg_gateway.routing import OpenRelayRoute, RelayRoute

PREFIX = "/api/v2"


class Right(NamedTuple):
    """Who may call a route."""

    scope: str | None
    """What a key needs; None: no key may call it."""
    roles: Roles = EVERYBODY


RELAYED: Mapping[Owner, Mapping[str, Right]] = {
    "auth": {
        "POST /register": Right("users", ADMINISTRATORS),
        "POST /logout": Right(None),
        "POST /password": Right(None),
        "GET /me": Right(ANY_SCOPE),
        "POST /me/totp": Right(None),
        "POST /me/totp/confirm": Right(None),
        "DELETE /me/totp": Right(None),
        "DELETE /users/{username}/totp": Right(None, ADMINISTRATORS),
        "GET /sessions": Right(None),
        "POST /sessions": Right(None),
        "DELETE /sessions/{id}": Right(None),
        "GET /keys": Right(None),
        "POST /keys": Right(None),
        "PATCH /keys/{id}": Right(None),
        "DELETE /keys/{id}": Right(None),
        "POST /keys/{id}/rotate": Right(None),
        "GET /providers": Right("providers", READERS),
        "POST /providers": Right("providers", ADMINISTRATORS),
        "GET /providers/kinds": Right("providers", READERS),
        "POST /providers/check": Right("providers", ADMINISTRATORS),
        "DELETE /providers/{method}/{name}": Right("providers", ADMINISTRATORS),
        "POST /providers/{method}/{name}/check": Right("providers", ADMINISTRATORS),
        "GET /providers/{method}/{name}/signatures": Right("providers", READERS),
        "GET /providers/{method}/{name}/templates": Right("providers", READERS),
        "GET /providers/{method}/{name}/versions": Right("providers", READERS),
        "POST /providers/{method}/{name}/restore": Right("providers", ADMINISTRATORS),
        "GET /senders": Right(None, READERS),
        "POST /senders": Right(None, ADMINISTRATORS),
        "PATCH /senders/{name}": Right(None, ADMINISTRATORS),
        "DELETE /senders/{name}": Right(None, ADMINISTRATORS),
        "GET /senders/{name}/dns": Right(None, READERS),
        "GET /users": Right("users", READERS),
        "GET /users/{username}": Right("users", READERS),
        "PATCH /users/{username}": Right("users", ADMINISTRATORS),
        "DELETE /users/{username}": Right("users", ADMINISTRATORS),
        "GET /users/{username}/quotas": Right(None, READERS),
        "PUT /users/{username}/quotas": Right(None, ADMINISTRATORS),
        "GET /quotas": Right(None, READERS),
        "PUT /quotas": Right(None, ADMINISTRATORS),
        "GET /caps": Right(None, READERS),
        "PUT /caps": Right(None, ADMINISTRATORS),
        "GET /windows": Right(None, READERS),
        "PUT /windows": Right(None, ADMINISTRATORS),
        "GET /holidays": Right(None, READERS),
        "PUT /holidays": Right(None, ADMINISTRATORS),
    },
    "history": {
        "GET /messages": Right("query"),
        "GET /requests": Right("query"),
        "GET /requests/{id}": Right("query"),
        "GET /replies": Right("query"),
        "GET /stats": Right("query"),
        "GET /dead": Right("query", READERS),
        "GET /dead/{id}": Right("query", READERS),
        "DELETE /dead/{id}": Right("query", OPERATORS),
        "GET /erasures": Right("erasures", READERS),
        "GET /exports/{id}": Right(None, ADMINISTRATORS),
        "GET /erasures/{id}": Right("erasures", READERS),
        "POST /reports": Right("reports"),
        "GET /reports": Right("reports"),
        "GET /reports/{id}": Right("reports"),
    },
    "catalog": {
        "POST /suppressions": Right("suppressions", OPERATORS),
        "DELETE /suppressions/{id}": Right("suppressions", OPERATORS),
        "GET /templates": Right("templates"),
        "POST /templates": Right("templates", SENDERS),
        "GET /templates/{name}": Right("templates"),
        "PATCH /templates/{name}": Right("templates", SENDERS),
        "DELETE /templates/{name}": Right("templates", SENDERS),
        "GET /templates/{name}/versions": Right("templates"),
        "POST /templates/{name}/publish": Right("templates", SENDERS),
        "POST /templates/{name}/preview": Right("templates", SENDERS),
        "GET /prices": Right(None, READERS),
        "PUT /prices": Right(None, ADMINISTRATORS),
        "GET /groups": Right("groups"),
        "POST /groups": Right("groups", SENDERS),
        "GET /groups/{name}": Right("groups"),
        "PATCH /groups/{name}": Right("groups", SENDERS),
        "DELETE /groups/{name}": Right("groups", SENDERS),
        "GET /groups/{name}/members": Right("groups"),
        "POST /groups/{name}/members": Right("groups", SENDERS),
        "POST /groups/{name}/members/remove": Right("groups", SENDERS),
    },
    "scheduler": {
        "PATCH /requests/{id}": Right(SEND_BY_ANY, SENDERS),
        "POST /requests/release": Right(None, OPERATORS),
        "POST /requests/{id}/release": Right(None, OPERATORS),
        "POST /requests/cancel": Right(SEND_BY_ANY, SENDERS),
        "POST /requests/{id}/cancel": Right(SEND_BY_ANY, SENDERS),
        "POST /messages/{id}/cancel": Right(SEND_BY_ANY, SENDERS),
    },
    "callbacks": {
        "GET /callbacks": Right("callbacks"),
        "POST /callbacks": Right("callbacks", SENDERS),
        "GET /callbacks/{id}": Right("callbacks"),
        "PATCH /callbacks/{id}": Right("callbacks", SENDERS),
        "DELETE /callbacks/{id}": Right("callbacks"),
        "POST /callbacks/{id}/test": Right("callbacks", SENDERS),
        "POST /callbacks/{id}/rotate": Right("callbacks", SENDERS),
        "POST /callbacks/{id}/recover": Right("callbacks", SENDERS),
        "GET /callbacks/{id}/deliveries": Right("callbacks"),
        "POST /callbacks/{id}/deliveries/{event}/resend": Right("callbacks", SENDERS),
        "GET /events": Right("events"),
    },
    "wechat": {
        "GET /followers": Right("followers", READERS),
        "POST /followers/bind": Right("followers", ADMINISTRATORS),
        "GET /followers/bind/{id}": Right("followers", ADMINISTRATORS),
        "POST /followers/bind/{id}/confirm": Right("followers", ADMINISTRATORS),
        "POST /followers/{tag}/renew": Right("followers", ADMINISTRATORS),
        "DELETE /followers/{tag}": Right("followers", ADMINISTRATORS),
    },
}
"""Service → its routes that users call, and who may.

Other services check the role again, of the callers that they are shown.
"""

TIMEOUTS_S = {
    "POST /providers/check": 30.0,  # the sender's call to the provider has 20 s
    "POST /providers/{method}/{name}/check": 30.0,
    "GET /providers/{method}/{name}/signatures": 30.0,
    "GET /providers/{method}/{name}/templates": 30.0,
    "POST /senders": 30.0,  # a signature is looked up at the accounts, as at a check
    "PATCH /senders/{name}": 30.0,
    "GET /senders/{name}/dns": 15.0,  # the sender's lookups have 8 s
    "GET /requests/{id}": 75.0,  # it waits up to 60 s until the request is settled
    "POST /requests/cancel": 75.0,  # there may be tens of thousands
    "POST /requests/{id}/cancel": 20.0,  # it waits up to 5 s for what is being sent
    "POST /messages/{id}/cancel": 20.0,
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


@login.post("/sessions/resume")
async def resume_session(request: ClientRequest, services: GatewayServices) -> Response:
    """Relay to auth the secret of a session of the web page."""
    return await services.relay.pass_on("auth", request, None)


@login.post("/keys/leaked")
async def report_leaked_key(request: ClientRequest, services: GatewayServices) -> Response:
    """Relay to auth that a key was found in public."""
    return await services.relay.pass_on("auth", request, None)


def _make_endpoint(owner: Owner, right: Right, timeout_s: float | None) -> Callable[..., Awaitable[Response]]:
    async def pass_on(
        user: Annotated[Credential, allow(right.scope, right.roles)], request: ClientRequest, services: GatewayServices
    ) -> Response:
        return await services.relay.pass_on(owner, request, user, timeout_s)

    return pass_on


def _make_router() -> APIRouter:
    router = APIRouter(prefix=PREFIX, route_class=RelayRoute, include_in_schema=False)
    for owner, routes in RELAYED.items():
        for route, right in routes.items():
            verb, path = route.split()
            router.add_api_route(path, _make_endpoint(owner, right, TIMEOUTS_S.get(route)), methods=[verb])
    return router


ROUTERS = (
    login,
    _make_router(),
    provider_routes,
    erasure_routes,
    report_routes,
    suppression_routes,
    audit_routes,
    export_files,
)
